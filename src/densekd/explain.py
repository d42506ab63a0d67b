"""Errors that the machine raises and people can mend, in plain words: disk, memory, ports, processes."""

import errno

# What the system says, as people say it.
_OF_FILES = {
    errno.ENOENT: "there is no such file or folder (any more)",
    errno.EACCES: "you have no permission for this",
    errno.EPERM: "you have no permission for this",
    errno.EROFS: "the disk is read-only",
    errno.EEXIST: "there is something else of this name",
    errno.ENOTDIR: "a part of this path is a file, not a folder",
    errno.EISDIR: "this is a folder, and a file is expected",
    errno.ENAMETOOLONG: "the name is too long for the disk; choose a shorter one",
    errno.ENOSPC: "the disk is full; make room and repeat the command (a training with --resume)",
    errno.EDQUOT: "your share of the disk is full; make room and repeat the command (a training with --resume)",
    errno.EFBIG: "larger than any file may be here (ulimit -f, or the kind of the disk)",
    errno.EIO: "the disk did not take all of it: it failed, or a share or limit is used up",
    errno.ESTALE: "the network disk has lost this file; mount it again",
    errno.ETIMEDOUT: "the network or its disk does not answer",
    errno.ENOTCONN: "the network disk is not connected; mount it again",
    errno.EBUSY: "something else is using this file",
    errno.ETXTBSY: "something else is using this file",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n) or use fewer data.workers",
    errno.ENFILE: "too many files are open on this machine; use fewer data.workers",
    errno.EAGAIN: "the system starts no more processes (ulimit -u); use fewer data.workers",
}
_LONGEST = 120

# What libraries say (any of the parts), and what it means; {} is where their first line is put.
_MEANINGS: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("EADDRINUSE", "ddress already in use"),
        "The port that the processes of this training meet at is in use, by another training perhaps. Set a "
        "free one, for instance MASTER_PORT=29511 densekd train ... ({})",
    ),
    (
        ("client socket has failed to connect", "client socket has timed out", "TCPStore", "DistStoreError"),
        "The processes of this training did not find each other. MASTER_ADDR and MASTER_PORT must be the same in "
        "all, an address that every machine reaches and a port that nothing blocks; --nodes and --devices must be "
        "the numbers of those that are started. ({})",
    ),
    (
        ("can't allocate memory", "out of memory", "Cannot allocate memory", "std::bad_alloc", "ALLOC_FAILED",
         "failed to map segment", "Unable to allocate", "bad allocation"),
        "Out of memory. Take a smaller data.batch_size or a larger training.accumulate, a smaller augment.crop "
        "(boxes: data.short_side and data.long_side), training.precision=bf16, evaluation by windows "
        "(evaluation.crop), or a smaller data.cache. See docs/troubleshooting.md#out-of-memory. ({})",
    ),
    (
        ("insufficient shared memory", "unable to open shared memory", "/dev/shm", "/torch_"),
        "Loading processes ran out of shared memory; use fewer (data.workers) or enlarge /dev/shm. ({})",
    ),
    (
        ("exited unexpectedly", "is killed by signal", "terminated abruptly"),
        "A process that reads data was ended from outside, or by what it ran; mostly memory was short: use fewer "
        "(data.workers, or --workers), or a smaller data.cache. With none (data.workers=0) the cause is shown. ({})",
    ),
    (
        ("received 0 items of ancdata", "Too many open files"),
        "Too many files are open; raise the limit (ulimit -n) or use fewer data.workers. ({})",
    ),
    (
        ("can't start new thread",),
        "The system starts no more threads; raise the limit (ulimit -u), or use fewer data.workers. ({})",
    ),
    (
        ("Expected more than 1 value per channel",),
        "Batch norm needs more than one value per channel, and got one: a single image of one pixel at that layer. "
        "Take a larger data.batch_size (each process and accumulated part gets its share: --devices, "
        "training.accumulate), or training.sync_batchnorm=on with several processes. ({})",
    ),
    (
        ("device-side assert",),
        "The GPU refused an index, mostly a label outside the classes; 'densekd data check' finds it, and "
        "CUDA_LAUNCH_BLOCKING=1 shows where. ({})",
    ),
    (
        ("Found no NVIDIA driver", "CUDA driver version is insufficient", "no kernel image is available",
         "CUDA unknown error", "invalid device ordinal", "CUDA-capable device(s) is/are busy",
         "CUDA error: all CUDA-capable devices"),
        "The GPU cannot be used: its driver, this build of torch and the card do not go together, or something else "
        "holds it (nvidia-smi shows). --accelerator cpu does without. ({})",
    ),
)  # fmt: skip


def explain(error: BaseException) -> str | None:
    """Say in plain words what the machine lacks; None for any other error.

    Args:
        error: what was raised.
    """
    said = str(error)
    first_line = said.strip().partition("\n")[0]
    if isinstance(error, MemoryError):
        said = "out of memory"
        first_line = first_line or "MemoryError"
    # A file has a name and a number, which say more than words.
    if isinstance(error, OSError) and error.filename is not None:
        return _explain_file(error)
    if isinstance(error, ModuleNotFoundError) and error.name and error.name.partition(".")[0] != "densekd":
        return f"The library {error.name} is not installed: pip install it, or densekd anew with the extras in use."
    for parts, meaning in _MEANINGS:
        if any(part in said for part in parts):
            return meaning.format(first_line)
    if isinstance(error, OSError) and error.errno in _OF_FILES:
        return f"{_sentence(_OF_FILES[error.errno])} ({first_line})"
    return None


def _explain_file(error: OSError) -> str:
    # Where a file is moved, the second name is the one that people know.
    name = str(error.filename2 or error.filename)
    if len(name) > _LONGEST:
        name = f"{name[:_LONGEST]}..."
    reason = _OF_FILES.get(error.errno or 0, error.strerror or "cannot be used")
    return f"{name}: {reason}."


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
