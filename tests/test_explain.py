"""What the machine lacks, in plain words."""

import errno
import os

import pytest

from densekd.explain import explain


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "runs/a/last.ckpt"), "a/last.ckpt: the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "out"), "out: you have no permission for this."),
        (OSError(errno.EXDEV, "Invalid cross-device link", "a"), "a: Invalid cross-device link."),
        # Of a file that is moved, the name that people know.
        (IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), ".a.tmp", None, "a"), "a: this is a folder"),
        (RuntimeError("CUDA out of memory. Tried to allocate 3 GiB\nmore"), "smaller data.batch_size"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ..."), "smaller data.batch_size"),
        (MemoryError(), "Out of memory"),
        (RuntimeError("failed to listen (errno: 98 - Address already in use)."), "MASTER_PORT=29511"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), "use fewer (data.workers"),
        (RuntimeError("Expected more than 1 value per channel when training"), "larger data.batch_size"),
        (RuntimeError("The client socket has failed to connect to any address"), "MASTER_ADDR and MASTER_PORT"),
        (RuntimeError("CUDA error: device-side assert triggered\nmore"), "densekd data check"),
        (RuntimeError("can't start new thread"), "ulimit -u"),
        (ImportError("libtorch.so: failed to map segment from shared object"), "Out of memory"),
        (ModuleNotFoundError("No module named 'jinja2'", name="jinja2"), "jinja2 is not installed: pip install"),
        (OSError(errno.ENOSPC, "No space left on device"), "The disk is full; make room"),
        (OSError(errno.EFBIG, "File too large", "a.ckpt"), "ulimit -f"),
        (RuntimeError("unable to open shared memory object </torch_1> in read-write mode"), "/dev/shm"),
    ],
)  # fmt: skip
def test_an_error_of_the_machine_is_explained(error: Exception, words: str) -> None:
    explained = explain(error)
    assert explained is not None
    assert words in explained
    assert "\n" not in explained


@pytest.mark.parametrize("error", [KeyError("a"), RuntimeError("shapes do not fit"), OSError("no file at all")])
def test_other_errors_are_not_explained(error: Exception) -> None:
    assert explain(error) is None
