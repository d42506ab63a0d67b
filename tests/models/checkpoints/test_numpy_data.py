"""NumPy's data in pickles: numbers and text as they were written, in both versions' names; objects never."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from densekd.errors import UserError
from densekd.models.checkpoints import Checkpoint

WEIGHTS = {"a": torch.ones(2)}
READ = [
    np.arange(6.0).reshape(2, 3),
    np.asfortranarray(np.arange(6).reshape(2, 3)),
    np.arange(3, dtype=">i4"),
    np.array(["ab", "c"]),
    np.array([b"x"]),
    np.array([True, False]),
    np.zeros((0, 3)),
    np.array(3.0),
    np.float64(0.5),
    np.float16(1.5),
    np.int64(-3),
    np.uint8(7),
    np.bool_(True),
    np.complex64(1j),
    np.str_("words"),
]


def read(path: Path, value: Any) -> Any:
    torch.save({"state_dict": WEIGHTS, "extra": value}, path)
    return Checkpoint.read(path).container.content["extra"]


@pytest.mark.parametrize("value", READ, ids=lambda value: f"{type(value).__name__}-{value.dtype}")
def test_numbers_and_text_are_what_they_were(tmp_path: Path, value: Any) -> None:
    found = read(tmp_path / "a.pth", value)
    assert found.shape == value.shape
    assert found.dtype.kind == value.dtype.kind
    assert np.array_equal(found, value)
    assert np.array_equal(pickle.loads(pickle.dumps(found)), value)


@pytest.mark.parametrize("value", READ[:2] + READ[8:11])
@pytest.mark.parametrize("package", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_names_of_both_versions_of_numpy(tmp_path: Path, value: Any, package: bytes) -> None:
    path = tmp_path / "a.pth"
    torch.save({"state_dict": WEIGHTS, "extra": value}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    for name in (b"numpy.core.multiarray", b"numpy._core.multiarray"):
        content = content.replace(b"c" + name + b"\n", b"c" + package + b"\n")
    path.write_bytes(content)
    assert np.array_equal(Checkpoint.read(path).container.content["extra"], value)


@pytest.mark.parametrize(
    "value",
    [
        np.array([1, "a"], dtype=object),
        np.zeros(2, dtype=[("a", "O")]),
        np.zeros(2, dtype=[("a", "f4")]),
        np.zeros(2, dtype="V8"),
        np.datetime64("2026-01-01"),
    ],
    ids=["objects", "fields of objects", "fields", "bytes", "dates"],
)
def test_anything_else_is_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(UserError, match=r"it holds numpy\.dtype"):
        read(tmp_path / "a.pth", value)
