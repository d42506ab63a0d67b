"""Commands replace what they made themselves; anything else only with --force."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image


@pytest.mark.usefixtures("few_models")
@pytest.mark.parametrize(
    "command",
    ["evaluate {run}", "data check {recipe} --workers 1", "models --size 32x32"],
)
def test_json_replaces_its_own_alone(run: Any, trained: Path, recipe_file: Path, tmp_path: Path, command: str) -> None:
    arguments = [part.format(run=trained, recipe=recipe_file) for part in command.split()]
    out = tmp_path / "out.json"
    assert run(*arguments, "--json", out)[0] == 0
    written = out.read_text()
    assert run(*arguments, "--json", out)[0] == 0
    assert out.read_text() == written
    for other in ("my notes", '{"task": "tax"}', "[]", (trained / "results.json").read_text()):
        out.write_text(other)
        status, printed = run(*arguments, "--json", out)
        assert status == 1
        assert "did not write; --force replaces it" in printed
        assert out.read_text() == other
    assert run(*arguments, "--json", out, "--force")[0] == 0
    assert out.read_text() == written
    status, printed = run(*arguments, "--json", tmp_path, "--force")
    assert (status, "is a folder; name a file" in printed) == (1, True)


def test_an_export_replaces_no_other_file_and_no_other_folder(run: Any, trained: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes.json"
    notes.write_text('{"task": "tax"}')
    status, printed = run("export", trained, "--to", "torch", "--json", notes)
    assert (status, "did not write; --force replaces it" in printed) == (1, True)
    mine = tmp_path / "out" / "torch-fp32" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    status, printed = run("export", trained, "--to", "torch", "--out", tmp_path / "out")
    assert (status, "no export of densekd" in printed) == (1, True)
    assert notes.read_text() == '{"task": "tax"}'
    assert mine.read_text() == "mine"


def test_shards_of_another_dataset_stay(run: Any, recipe_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    assert run("data", "shard", recipe_file, out)[0] == 0
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    status, printed = run("data", "shard", recipe_file, out)
    assert status == 1
    assert "train.json: is there already; --force replaces the shards of 'train'" in printed
    # A tar without an index is somebody's, too.
    (out / "train.json").unlink()
    (out / "val.json").unlink()
    assert "train-000000.tar: is there already" in run("data", "shard", recipe_file, out)[1]
    assert run("data", "shard", recipe_file, out, "--force")[0] == 0
    after = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert after.keys() == before.keys()
    assert after != before


def test_labels_of_somebody_are_no_earlier_prediction(run: Any, trained: Path, data_root: Path, tmp_path: Path) -> None:
    pictures, out = data_root / "images" / "val", tmp_path / "data"
    (out / "labels").mkdir(parents=True)
    label = out / "labels" / "000.png"
    label.write_text("drawn by hand")
    for arguments in ((), ("--resume",)):
        status, printed = run("predict", trained, pictures, "--out", out, *arguments)
        assert status == 1
        assert "labels: is there already" in printed
        assert "--force" in printed
    assert label.read_text() == "drawn by hand"
    assert run("predict", trained, pictures, "--out", out, "--force")[0] == 0
    assert Image.open(label).mode
    # From now on it is an earlier prediction.
    assert run("predict", trained, pictures, "--out", out)[0] == 0
    record = out / "predicted-by.json"
    record.write_text(json.dumps({"model": 1}))
    assert run("predict", trained, pictures, "--out", out)[0] == 1
    assert json.loads(record.read_text()) == {"model": 1}


def test_a_submission_replaces_no_pictures(run: Any, trained: Path, data_root: Path) -> None:
    pictures = data_root / "images" / "val"
    before = {path.name: path.stat().st_mtime_ns for path in pictures.iterdir()}
    status, printed = run("predict", trained, pictures, "--out", pictures, "--submission", "voc")
    assert status == 1
    assert "000.png: is there already" in printed
    assert before == {path.name: path.stat().st_mtime_ns for path in pictures.iterdir()}


def test_what_is_fetched_replaces_nothing(run: Any, recipe_file: Path, tmp_path: Path) -> None:
    mine = tmp_path / "teacher.pth"
    mine.write_text("mine")
    run("fetch", recipe_file, "--to", tmp_path, "teacher.checkpoint=teacher.pth", "teacher.model=fpn")
    assert mine.read_text() == "mine"


def test_a_cache_is_not_written_into_another_folder(run: Any, recipe_file: Path, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "000000.safetensors").write_text("mine")
    cache = [f"teacher.cache.folder={tmp_path / 'mine'}", "teacher.cache.views=1", f"teacher.checkpoint={trained}"]
    status, printed = run("cache", recipe_file, *cache, 'distill=[{"method": "cwd", "weight": 1}]')
    assert status != 0
    assert "is no teacher cache, and not empty" in printed
    assert (tmp_path / "mine" / "000000.safetensors").read_text() == "mine"
