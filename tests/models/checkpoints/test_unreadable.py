"""Files that are no checkpoints say what they are, and a system's reason is no fault of the file."""

import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from densekd.errors import UserError
from densekd.models.checkpoints import Checkpoint
from densekd.models.checkpoints.unreadable import describe_unreadable


def write_script(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(nn.Conv2d(3, 2, 1)).save(str(path))


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights/model.pth", b"x")


def write_tar(path: Path) -> None:
    inside = path.with_name("inside.txt")
    inside.write_text("x")
    with tarfile.open(path, "w") as archive:
        archive.add(inside, "inside.txt")


def writes(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "write", "part"),
    [
        ("a.pt", write_script, r"is a TorchScript archive: .*torch\.jit\.load\(file\)\.state_dict\(\)"),
        ("a.zip", write_zip, r"is a zip archive of model\.pth, not a checkpoint; unpack it"),
        ("a.tar", write_tar, "is a tar archive, not a checkpoint; unpack it"),
        ("a.pth.gz", writes(b"\x1f\x8b\x08"), "is a gzip archive"),
        ("a.onnx", writes(b"\x08\x07\x12\x07pytorch\x1a\x05"), "is an ONNX file, .* exported from"),
        ("a.tflite", writes(b"\x1c\0\0\0TFL3\0\0"), "is a TensorFlow Lite file, .* exported from"),
        ("a.h5", writes(b"\x89HDF\r\n"), "is an HDF5 file"),
        ("a.pth", writes(b"version https://git-lfs.github.com/spec/v1\noid sha256:1"), "is a pointer of Git LFS"),
        ("b.pth", writes(b"<!DOCTYPE html>\n<title>x"), "is a web page"),
        ("c.pth", writes(b"<?xml version='1.0'?><net/>"), "is a text file, not a checkpoint"),
    ],
)
def test_a_file_says_what_it_is(tmp_path: Path, name: str, write: Callable[[Path], object], part: str) -> None:
    write(tmp_path / name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserError, match=rf"{name}: {part}"):
            Checkpoint.read(tmp_path / name)


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    assert describe_unreadable(path, PermissionError(13, "Permission denied")) == "cannot be read (Permission denied)."
    assert "does not fit into the memory" in describe_unreadable(path, MemoryError())


def test_a_whole_module_says_how_to_save_its_weights(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "model": nn.Conv2d(3, 2, 1)}, tmp_path / "a.pt")
    with pytest.raises(UserError, match=r"holds torch\.nn\.modules\.conv\.Conv2d, .*save\(model\.state_dict\(\)"):
        Checkpoint.read(tmp_path / "a.pt")
