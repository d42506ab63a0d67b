"""Pictures predicted by threads: the same records in the same order, one model at a time, and what is left out."""

import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from densekd.data.classes import Classes
from densekd.errors import UserError
from densekd.tasks.common import images_at, one_at_a_time, predict_each
from densekd.tasks.records import NAME, Records
from densekd.tasks.segmentation import LabelPredictor

CLASSES = Classes(("dark", "red", "green"), ((10, 20, 30), (200, 0, 0), (0, 200, 0)))


class Color(nn.Module):
    """Says 1 where red and 2 where green exceeds a half, else 0."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([torch.full_like(images[:, :1], 0.5), images[:, :2]], 1)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Seven pictures of noise."""
    folder = tmp_path / "in"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(7):
        Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


def written(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.png"))}


@pytest.mark.parametrize("workers", [1, 3, 16])
def test_threads_write_the_same_files(pictures: Path, tmp_path: Path, workers: int) -> None:
    predictor = LabelPredictor(Color(), CLASSES)
    assert predictor.predict_folder(pictures, tmp_path / "alone") == 7
    assert predictor.predict_folder(pictures, tmp_path / "threads", workers=workers) == 7
    assert written(tmp_path / "threads") == written(tmp_path / "alone")
    assert len(written(tmp_path / "alone")) == 14
    # Records are in the order of the pictures, whichever was done first.
    lines = (tmp_path / "threads" / NAME).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["name"] for line in lines] == [str(number) for number in range(7)]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_picture_stops_no_other(pictures: Path, tmp_path: Path, workers: int) -> None:
    (pictures / "3.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"1 of 7 images were not predicted[\s\S]*3\.png"):
        LabelPredictor(Color(), CLASSES).predict_folder(pictures, tmp_path / "out", workers=workers)
    assert len(list((tmp_path / "out" / "labels").glob("*.png"))) == 6


def test_threads_go_on_where_an_earlier_prediction_stopped(pictures: Path, tmp_path: Path) -> None:
    predictor = LabelPredictor(Color(), CLASSES)
    predictor.predict_folder(pictures, tmp_path / "out")
    record = tmp_path / "out" / NAME
    record.write_text("".join(record.read_text(encoding="utf-8").splitlines(keepends=True)[:4]), encoding="utf-8")
    done: list[str] = []
    records = Records(tmp_path / "out", resume=True)
    assert predict_each(images_at(pictures), lambda name, path: done.append(name), records, 2) == []
    assert sorted(done) == ["4", "5", "6"]


def test_one_model_runs_at_a_time(pictures: Path, tmp_path: Path) -> None:
    inside, most, threads = 0, 0, set()

    def write(name: str, path: Path) -> None:
        nonlocal inside, most
        with one_at_a_time():
            assert not torch.is_grad_enabled()
            inside += 1
            most = max(most, inside)
            threads.add(threading.get_ident())
            time.sleep(0.005)
            inside -= 1

    predict_each(images_at(pictures), write, Records(tmp_path / "out"), 3)
    assert most == 1
    assert threading.get_ident() not in threads


def test_no_more_is_begun_than_twice_the_threads(pictures: Path, tmp_path: Path) -> None:
    begun: list[str] = []
    ahead: list[int] = []
    records = Records(tmp_path / "out")
    original = records.add

    def add(name: str, file: Path, found: None) -> None:
        ahead.append(len(begun) - len(ahead))
        original(name, file, found)

    records.add = add  # type: ignore[method-assign, assignment]
    predict_each(images_at(pictures), lambda name, path: begun.append(name), records, 1)
    assert len(ahead) == 7
    assert max(ahead) <= 2
