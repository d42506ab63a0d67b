"""What a file is that could not be read as a checkpoint, in a sentence, and what to do."""

import errno
import pickle
import re
import zipfile
from pathlib import Path

_HEAD = 512
_SYSTEM = (errno.EACCES, errno.EPERM, errno.EIO, errno.ENOSPC, errno.ESTALE, errno.EISDIR)
# Beginnings of files that people take for weights.
_BEGINNINGS = (
    (b"version https://git-lfs", "is a pointer of Git LFS, not the file; run 'git lfs pull' where it comes from."),
    (b"\x89HDF", "is an HDF5 file (Keras), not a checkpoint of PyTorch; only PyTorch's weights can be read."),
    (b"\x1f\x8b", "is a gzip archive, not a checkpoint; unpack it and name the file inside."),
    (b"BZh", "is a bzip2 archive, not a checkpoint; unpack it and name the file inside."),
    (b"\xfd7zXZ", "is an xz archive, not a checkpoint; unpack it and name the file inside."),
)
_PAGE = re.compile(rb"\s*(<!--.*?-->\s*)*<(!doctype html|html|head|body|script)", re.IGNORECASE | re.DOTALL)
GET_AGAIN = "Download it again, or put back a copy; of a run, student/ and the other checkpoints may be sound."
_EXPORTED = (
    "an exported network without the names of its weights; name the PyTorch checkpoint that it was exported from."
)


def describe_unreadable(path: Path, error: Exception) -> str:
    """Say in one line what is wrong with a file that could not be read, and what to do.

    Args:
        path: the file.
        error: what reading it raised.
    """
    if isinstance(error, MemoryError):
        return "does not fit into the memory that is free."
    # The system's own reasons (permission, a disk that fails) are no fault of the content.
    if isinstance(error, OSError) and error.errno in _SYSTEM:
        return f"cannot be read ({error.strerror})."
    return kind_of_file(path) or _reason_of_pickle(error) or _damaged(error)


def kind_of_file(path: Path) -> str | None:
    """Tell files that are no checkpoints by their first bytes; None for what may be one."""
    with path.open("rb") as handle:
        start = handle.read(_HEAD)
    if not start:
        return "is empty; download it again."
    if not any(start):
        return "begins with nothing but zeros, as an interrupted copy leaves behind; download it again."
    for beginning, sentence in _BEGINNINGS:
        if start.startswith(beginning):
            return sentence
    if start[4:8] == b"TFL3" or path.suffix == ".tflite":
        return f"is a TensorFlow Lite file, {_EXPORTED}"
    if path.suffix == ".onnx" or b"pytorch\x12" in start[:64]:
        return f"is an ONNX file, {_EXPORTED}"
    if start[257:262] == b"ustar" and not zipfile.is_zipfile(path):
        return "is a tar archive, not a checkpoint; unpack it and name the file inside."
    if zipfile.is_zipfile(path):
        return describe_archive(path)
    if _PAGE.match(start):
        return "is a web page, not a checkpoint: the download asked for a login or failed. Download it again."
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in start):
        return "is a text file, not a checkpoint."
    return None


def describe_archive(path: Path) -> str | None:
    """Say what a zip archive is that is no checkpoint: TorchScript, an exported program, packed files.

    Returns:
        None for torch's own archives of tensors, and for one that is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return None
    ends = {name.rpartition("/")[2] for name in names}
    # Compiled functions and constants lie beside the weights of a script.
    if "constants.pkl" in ends or any("/code/" in f"/{name}" for name in names):
        return (
            "is a TorchScript archive: a compiled network whose code would be run. Save its weights alone where it "
            "is trusted: torch.save(torch.jit.load(file).state_dict(), other)."
        )
    if any("serialized_exported_program" in name or name.endswith("/models/model.json") for name in names):
        return f"is a program of torch.export, {_EXPORTED}"
    if "data.pkl" in ends:
        return None
    shown = ", ".join(sorted(ends - {""})[:3])
    return f"is a zip archive of {shown}, not a checkpoint; unpack it and name the file inside."


def _reason_of_pickle(error: Exception) -> str | None:
    """Name the class in a pickle that is not plain data; None for any other error."""
    refused = re.search(r"GLOBAL (\S+)", str(error))
    if not isinstance(error, pickle.UnpicklingError) or refused is None:
        return None
    return (
        f"refused. Besides tensors and plain containers it holds {refused[1]}, and loading that could run code. Where "
        "you trust it, save its state dict alone: torch.save(model.state_dict(), file), or of a dictionary "
        "torch.save(checkpoint['state_dict'], file)."
    )


def _damaged(error: Exception) -> str:
    words = [type(error).__name__]
    # What torch says of a pickle is not repeated: it recommends to run the file's code.
    if not isinstance(error, pickle.UnpicklingError) and "weights_only" not in str(error):
        words += str(error).splitlines()[:1]
    return f"damaged, or no checkpoint of plain tensors ({': '.join(words)[:160]}). {GET_AGAIN}"
