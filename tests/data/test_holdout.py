"""Images without splits are divided once, by groups, and look-alikes stay together."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from densekd.data.folder import folder
from densekd.data.holdout import Holdout, draw
from densekd.errors import UserError


def texture(seed: int) -> np.ndarray:
    """Return an image that looks like no other."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC))


def make(root: Path, names: list[str], seeds: list[int] | None = None) -> Path:
    for k, name in enumerate(names):
        image = texture(k if seeds is None else seeds[k])
        for kind, pixels in (("images", image), ("labels", np.zeros((64, 64), np.uint8))):
            path = root / kind / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    (root / "classes.json").write_text(json.dumps({"names": ["a", "b"]}))
    return root


def stems(root: Path, split: str, holdout: Holdout | None = None) -> set[str]:
    return {item.stem for item in folder(root, split, holdout=holdout).items}


def test_the_draw_is_written_once_and_kept(tmp_path: Path) -> None:
    root = make(tmp_path, [f"{k:02}" for k in range(20)])
    holdout = Holdout(val=0.2, test=0.1, seed=3)
    parts = [stems(root, split, holdout) for split in ("train", "val", "test")]
    assert [len(part) for part in parts] == [14, 4, 2]
    assert set.union(*parts) == {f"{k:02}" for k in range(20)}
    # The lists stand from now on, without the recipe's help.
    assert stems(root, "val") == parts[1]
    assert (root / "splits/val.txt").read_text().split() == sorted(parts[1])
    with pytest.raises(UserError, match=r"were divided with .*\"seed\": 3.* recipe says .*\"seed\": 4"):
        stems(root, "val", Holdout(val=0.2, test=0.1, seed=4))


def test_a_damaged_record_of_the_draw_is_named(tmp_path: Path) -> None:
    root = make(tmp_path, [f"{k:02}" for k in range(10)])
    stems(root, "val", Holdout(seed=3))
    path = root / "splits/split.json"
    path.write_text(path.read_text().replace('"seed": 3', '"seed": 2'))
    with pytest.raises(UserError, match=r"split\.json: not what was written, 'seed' was changed"):
        stems(root, "val", Holdout(seed=3))


def test_new_images_are_not_left_out_silently(tmp_path: Path) -> None:
    root = make(tmp_path, [f"{k:02}" for k in range(10)])
    stems(root, "val", Holdout())
    make(root, [f"{k:02}" for k in range(11)])
    with pytest.raises(UserError, match="1 images are in no list, the first: 10"):
        stems(root, "train")


@pytest.mark.parametrize("groups", ["folder", r"^(drive\d)"])
def test_groups_stay_together(tmp_path: Path, groups: str) -> None:
    root = make(tmp_path, [f"drive{k // 3}/{k}" for k in range(15)])
    held = stems(root, "val", Holdout(val=0.2, groups=groups))
    assert len(held) == 3
    assert len({stem.partition("/")[0] for stem in held}) == 1
    assert not {stem.partition("/")[0] for stem in stems(root, "train")} & {stem.partition("/")[0] for stem in held}


def test_near_duplicates_stay_together(tmp_path: Path) -> None:
    names = [f"{k:02}" for k in range(20)]
    root = make(tmp_path, names, [k // 2 for k in range(20)])
    # Every second one is brighter and saved with loss.
    for k in range(1, 20, 2):
        path = root / "images" / f"{k:02}.png"
        Image.fromarray((texture(k // 2) * 0.9 + 10).astype(np.uint8)).save(path.with_suffix(".jpg"), quality=60)
        path.unlink()
    held = stems(root, "val", Holdout(val=0.3))
    assert len(held) == 6
    pairs = sorted(int(stem) // 2 for stem in held)
    assert pairs[::2] == pairs[1::2]


def test_shares_are_met_as_well_as_groups_allow() -> None:
    drawn = draw([str(k) for k in range(100)], [k // 10 for k in range(100)], Holdout(val=0.25))
    assert len(drawn["val"]) in (20, 30)
    assert sorted(map(int, drawn["val"] + drawn["train"])) == list(range(100))


def test_one_group_cannot_be_divided() -> None:
    with pytest.raises(UserError, match="4 images in 1 groups are too few for a split 'val'"):
        draw(list("abcd"), [0, 0, 0, 0], Holdout())


@pytest.mark.parametrize(("groups", "message"), [("(", "no regular expression"), ("x", "does not match the image")])
def test_groups_that_fit_nothing(tmp_path: Path, groups: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        stems(make(tmp_path, ["a", "b"]), "val", Holdout(groups=groups))
