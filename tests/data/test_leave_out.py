"""Leave-one-group-out: which images are validated on, and what is said of groups that are not there."""

import os
from pathlib import Path

import pytest
from tiny_data import make_folder

from densekd.data.camvid import camvid
from densekd.data.folder import folder
from densekd.data.leave_out import LeaveOut
from densekd.errors import RecipeError, UserError

REAL = os.environ.get("DENSEKD_CAMVID", "")


@pytest.fixture
def drives(tmp_path: Path) -> Path:
    """Five images of two drives in train, two of a third one and of the second in val."""
    root = make_folder(tmp_path, {"train": 5, "val": 3})
    names = {"train": ["a_1", "a_2", "a_3", "b_1", "b_2"], "val": ["b_3", "c_1", "c_2"]}
    for split, stems in names.items():
        for k, stem in enumerate(stems):
            for kind in ("images", "labels"):
                path = root / kind / split / f"{k:03}.png"
                path.rename(path.with_stem(stem))
    return root


def stems(root: Path, leave_out: LeaveOut, split: str) -> list[str]:
    pool = folder(root, "train").join([folder(root, "val")])
    return [item.stem for item in leave_out.part(pool, split).items]


def test_a_group_is_validated_on_as_a_whole(drives: Path) -> None:
    leave_out = LeaveOut("^[^_]+", val=("b",))
    assert stems(drives, leave_out, "train") == ["a_1", "a_2", "a_3", "c_1", "c_2"]
    assert stems(drives, leave_out, "val") == ["b_1", "b_2", "b_3"]


def test_groups_of_a_test_split_are_learnt_by_nobody(drives: Path) -> None:
    leave_out = LeaveOut("^(.)_", val=("b",), test=("c",))
    assert stems(drives, leave_out, "train") == ["a_1", "a_2", "a_3"]
    assert stems(drives, leave_out, "test") == ["c_1", "c_2"]


@pytest.mark.parametrize(("test", "divides"), [((), False), (("c",), True)])
def test_the_test_split_is_the_datasets_own_unless_groups_are_named(test: tuple[str, ...], divides: bool) -> None:
    assert LeaveOut("^.", ("b",), test).divides("test") is divides


def test_a_note_says_what_was_left_out(drives: Path) -> None:
    pool = folder(drives, "train")
    assert LeaveOut("^.", ("b",)).part(pool, "val").notes[-1] == "data.leave_out: 'val' is 2 images of b (2)."


def test_unknown_groups_are_answered_with_those_that_are_there(drives: Path) -> None:
    with pytest.raises(RecipeError, match=r"there is no group 'd'; '\^\.' finds a \(3\), b \(3\), c \(2\)"):
        stems(drives, LeaveOut("^.", ("d",)), "train")


def test_something_must_be_left_to_learn_from(drives: Path) -> None:
    with pytest.raises(RecipeError, match="nothing is left to learn from"):
        stems(drives, LeaveOut("^.", ("a", "b", "c")), "train")


@pytest.mark.parametrize(
    ("groups", "message"),
    [("(", "is no regular expression"), ("^[ab]", "does not match the image 'c_1'"), ("^(a)|.", "does not match")],
)
def test_an_expression_must_fit_every_image(drives: Path, groups: str, message: str) -> None:
    with pytest.raises(UserError, match=f"data.leave_out.groups: .*{message}"):
        stems(drives, LeaveOut(groups, ("b",)), "train")


@pytest.mark.skipif(not REAL, reason="DENSEKD_CAMVID names no folder with the real CamVid")
@pytest.mark.parametrize(("drive", "train", "val"), [("0001TP", 406, 62), ("0006R0", 367, 101), ("0016E5", 163, 305)])
def test_the_folds_of_the_real_set(drive: str, train: int, val: int) -> None:
    pool = camvid(Path(REAL), "train").join([camvid(Path(REAL), "val")])
    leave_out = LeaveOut("^[^_]+", (drive,))
    parts = {split: {item.stem for item in leave_out.part(pool, split).items} for split in ("train", "val")}
    assert (len(parts["train"]), len(parts["val"])) == (train, val)
    assert not parts["train"] & parts["val"]
