"""Before the first step: what cannot be learnt stops, what is odd is said, and what was learnt is judged."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_data import make_folder, tiny_recipe
from training_runs import parsed, run

from densekd.builders.build import build
from densekd.errors import RecipeError, UserError
from densekd.run.checks import check_before_training, learnt_nothing
from densekd.tasks.detection.metric import BoxMetric


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "data", {"train": 4, "val": 2})


def check(recipe: dict[str, Any]) -> tuple[str, ...]:
    read = parsed(recipe)
    return check_before_training(build(read), read.data)


def relabel(root: Path, split: str, change: Any) -> None:
    for path in (root / "labels" / split).glob("*.png"):
        Image.fromarray(change(np.array(Image.open(path))).astype(np.uint8)).save(path)


def test_good_data_is_not_remarked_on(root: Path) -> None:
    assert check(tiny_recipe(root)) == ()


def test_validation_on_the_training_split_must_be_said(root: Path) -> None:
    recipe = tiny_recipe(root)
    recipe["data"]["val"] = "train"
    with pytest.raises(RecipeError, match=r"data\.val: 'train' is data\.train too.*data\.allow: \[val-is-train\]"):
        check(recipe)
    recipe["data"]["allow"] = ["val-is-train"]
    assert check(recipe) == ()


def test_masks_of_0_and_255_are_recognized(root: Path) -> None:
    # Of two classes the folder layout reads such masks as they are meant.
    for split in ("train", "val"):
        relabel(root, split, lambda label: np.where(label == 0, 0, 255))
    with pytest.raises(UserError, match=r"data\.train \(train\): .*'class0'.*masks of 0 and 255 write 1"):
        check(tiny_recipe(root))
    recipe = tiny_recipe(root)
    recipe["data"]["allow"] = ["nothing-to-learn"]
    assert "'class0'" in "".join(check(recipe))


def test_only_void_teaches_nothing(root: Path) -> None:
    relabel(root, "train", lambda label: np.full_like(label, 255))
    with pytest.raises(UserError, match="every label is void"):
        check(tiny_recipe(root))


def test_odd_shares_are_said(root: Path) -> None:
    def mostly_background(label: np.ndarray) -> np.ndarray:
        changed = np.zeros_like(label)
        changed[0, :2] = 1
        return changed

    relabel(root, "train", mostly_background)
    first, second = check(tiny_recipe(root))
    assert first == "data.train (train): in all 4 images 1 of 3 classes never occur: class2."
    assert "99.87 % of the labelled pixels are of the class 'class0'" in second


def test_what_is_rare_is_looked_for_in_more_labels(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data", {"train": 70, "val": 2})
    for path in sorted((root / "labels/train").glob("*.png")):
        if path.stem != "069":
            Image.fromarray(np.zeros((32, 48), np.uint8)).save(path)
    (said,) = check(tiny_recipe(root))
    assert "in all 70 images 99." in said


def test_validation_in_another_order_is_matched_with_training(tmp_path: Path) -> None:
    from densekd.data.folder import folder
    from densekd.data.shards import write_shards

    one = make_folder(tmp_path / "one", {"train": 4})
    two = make_folder(tmp_path / "two", {"val": 2})
    (two / "classes.json").write_text(json.dumps({"names": ["class2", "class0", "class1"]}))
    list(write_shards(folder(one, "train"), "train", tmp_path / "out", 1, "as-is"))
    list(write_shards(folder(two, "val"), "val", tmp_path / "out", 1, "as-is"))
    recipe = tiny_recipe(tmp_path / "out")
    recipe["data"]["dataset"] = "shards"
    built = build(parsed(recipe))
    assert built.validation.classes.names == ("class0", "class1", "class2")
    assert "in another order than data.train" in built.notes[0]
    # Label 0 of the file is class2 there.
    own = folder(two, "val").label(0)
    assert np.array_equal(built.validation.label(0) == 2, own == 0)  # type: ignore[attr-defined]
    # Joined splits are compared in the same way.
    recipe["data"]["train"] = "train+val"
    joined = build(parsed(recipe)).training.files
    assert np.array_equal(joined.label(4) == 2, own == 0)  # type: ignore[attr-defined]


def test_a_missing_teacher_is_found_before_the_baseline(root: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(root) | {"baseline": "train", "distill": [{"method": "cwd", "weight": 1}]}
    recipe["teacher"] = {"checkpoint": str(tmp_path / "none.pth")}
    with pytest.raises(UserError, match=r"teacher\.checkpoint: .*no such file.*Train or fetch the teacher first"):
        run(parsed(recipe), tmp_path / "run")
    assert not (tmp_path / "run/baseline").exists()


def test_a_missing_extra_is_found_before_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(UserError, match=r"densekd\[coco\]"):
        BoxMetric(2)


@pytest.mark.parametrize(
    ("miou", "confusion", "said"),
    [
        (12.34, [[1, 1], [1, 1]], "and a guess has 20.0"),
        (48.0, [[9, 0], [1, 0]], "it predicts 'class0' everywhere"),
        (48.0, [[9, 0], [1, 1]], None),
        # Where one class alone is there, it may be all that is predicted.
        (100.0, [[9, 0], [0, 0]], None),
        (None, [[0, 0], [0, 0]], None),
    ],
)
def test_a_student_that_learnt_nothing(root: Path, miou: float | None, confusion: Any, said: str | None) -> None:
    built = build(parsed(tiny_recipe(root)))
    found = learnt_nothing(built, {"miou": miou, "confusion": confusion})
    assert (found is None) == (said is None)
    assert said is None or said in str(found)


def names_of(root: Path, *names: str) -> None:
    (root / "classes.json").write_text(json.dumps({"names": names}))


def test_teacher_student_and_resume_by_name(root: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(root)
    recipe["training"]["steps"] = 2
    run(parsed(recipe), tmp_path / "one")
    # A run whose data changed its order cannot be resumed.
    names_of(root, "class1", "class0", "class2")
    (tmp_path / "one/results.json").unlink()
    with pytest.raises(UserError, match=r"begun with something else: data\.train: classes are class1, class0"):
        run(parsed(recipe), tmp_path / "one", "resume")
    # A student that begins with its weights keeps its order, and the data follows.
    own = recipe["student"] | {"checkpoint": str(tmp_path / "one/student")}
    built = build(parsed(recipe | {"student": own}))
    assert built.package.classes == ["class0", "class1", "class2"]
    assert built.validation.classes.names == ("class0", "class1", "class2")
    # A teacher's logits follow the data.
    taught = recipe | {"teacher": {"checkpoint": str(tmp_path / "one")}}
    taught["distill"] = [{"method": "cwd", "weight": 1}]
    built = build(parsed(taught))
    assert built.scored_teacher is not None
    assert built.scored_teacher.merge.groups == ((1,), (0,), (2,))
    assert "the teacher counts them in another order" in built.notes[-1]
    # Other names are refused, unless numbers count.
    names_of(root, "class1", "class0", "other")
    with pytest.raises(RecipeError, match=r"Only the teacher has class2.*Only the data has other.*by-number"):
        build(parsed(taught))
    with pytest.raises(RecipeError, match=r"student\.classes: by-number"):
        build(parsed(recipe | {"student": own}))
    build(parsed(taught | {"teacher": taught["teacher"] | {"classes": "by-number"}}))
    build(parsed(recipe | {"student": own | {"classes": "by-number"}}))
    # What teaches features alone is not scored.
    features = taught | {"distill": [{"method": "at", "weight": 1, "student": "features.3", "teacher": "features.3"}]}
    built = build(parsed(features))
    assert built.scored_teacher is None
    assert "is not scored" in built.notes[-1]


def test_learnt_nothing_reads_the_metrics_of_its_task() -> None:
    class Names:
        key = "ap"
        title = "AP"

        def gain(self, score: float, chance: float) -> float:
            return score - chance

        def format(self, score: float) -> str:
            return f"{score:.1f}"

    task = SimpleNamespace(metrics=SimpleNamespace(headline=Names()), chance=1.0)
    built: Any = SimpleNamespace(task=task)
    assert learnt_nothing(built, {"ap": 0.0}) == "the student has learnt nothing: AP 0.0, and a guess has 1.0."
    assert learnt_nothing(built, {"ap": 30.0}) is None
