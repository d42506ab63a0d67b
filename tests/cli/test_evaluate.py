"""Commands that run a finished model: scores that reproduce the results, other data, predictions."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


@pytest.mark.parametrize("place", [".", "student", "checkpoints/last.ckpt", "checkpoints/best.ckpt"])
def test_evaluate_reproduces_the_results(run: Any, trained: Path, tmp_path: Path, place: str) -> None:
    status, printed = run("evaluate", trained / place, "--json", tmp_path / "scores.json")
    assert status == 0, printed
    scores = json.loads((tmp_path / "scores.json").read_text())
    expected = json.loads((trained / "results.json").read_text())["student"]
    assert {k: scores[k] for k in ("miou", "macc", "aacc", "iou")} == {
        k: expected[k] for k in ("miou", "macc", "aacc", "iou")
    }
    assert f"{expected['miou']:.2f}" in printed
    # Three images are scored, the worst first.
    worst = scores["worst"]
    assert [one["miou"] for one in worst] == sorted(one["miou"] for one in worst)
    assert sorted(one["image"][-7:] for one in worst) == ["000.png", "001.png", "002.png"]
    assert f"worst images, mIoU of each alone:\n{worst[0]['miou']:7.2f}  {worst[0]['image']}\n" in printed


def test_evaluate_on_a_folder_and_split(run: Any, trained: Path, data_root: Path, tmp_path: Path) -> None:
    status, printed = run("evaluate", trained, "--data", data_root, "--split", "train", "--json", tmp_path / "s.json")
    assert status == 0, printed
    scores = json.loads((tmp_path / "s.json").read_text())
    assert (scores["split"], scores["images"]) == ("train", 6)


def test_evaluate_on_a_folder_without_classes(run: Any, trained: Path, data_root: Path, tmp_path: Path) -> None:
    for kind in ("images", "labels"):
        (tmp_path / "bare" / kind).mkdir(parents=True)
        (tmp_path / "bare" / kind / "test").symlink_to(data_root / kind / "val")
    status, printed = run("evaluate", trained, "--data", tmp_path / "bare", "--split", "test")
    assert status == 0, printed
    assert f"{json.loads((trained / 'results.json').read_text())['student']['miou']:.2f}" in printed


def test_evaluate_refuses_other_classes(run: Any, trained: Path, data_root: Path, tmp_path: Path) -> None:
    shutil.copytree(data_root, tmp_path / "other")
    (tmp_path / "other" / "classes.json").write_text('{"names": ["x", "y", "z"]}')
    status, printed = run("evaluate", trained, "--data", tmp_path / "other")
    assert status == 1
    said = printed.replace("\n", " ")
    assert (
        "the classes of the data are not those of the model. the data: x, y, z. the model: class0, class1, class2"
        in said
    )


def test_evaluate_what_is_no_model(run: Any, tmp_path: Path, data_root: Path) -> None:
    (tmp_path / "text.ckpt").write_text("hello")
    status, printed = run("evaluate", tmp_path / "text.ckpt")
    assert status == 1
    assert "is a text file, not a checkpoint" in printed
    status, printed = run("evaluate", tmp_path)
    assert status == 1
    assert "no config.json and model.safetensors in this folder or its student/" in printed.replace("\n", " ")


def test_predict(run: Any, trained: Path, data_root: Path, tmp_path: Path) -> None:
    status, printed = run("predict", trained, data_root / "images" / "val", "--out", tmp_path / "out")
    assert status == 0, printed
    labels = sorted((tmp_path / "out" / "labels").glob("*.png"))
    assert [p.stem for p in labels] == ["000", "001", "002"]
    assert np.array(Image.open(labels[0])).shape == (32, 48)
    assert set(np.unique(np.array(Image.open(labels[0])))) <= {0, 1, 2}
    assert Image.open(tmp_path / "out" / "overlays" / "000.png").size == (48, 32)


def test_changes_of_a_recipe_are_called_overrides_everywhere(run: Any) -> None:
    for command in ("train", "check", "cache", "evaluate", "predict"):
        _, printed = run(command, "--help")
        # Pictures and changes are one list of words for predict.
        assert ("[inputs]..." if command == "predict" else "[overrides]...") in printed
