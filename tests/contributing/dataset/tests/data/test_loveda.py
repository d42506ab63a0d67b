from pathlib import Path

import numpy as np
import pytest
from dataset_trees import blocks, picture, write
from densekd.data.loveda import loveda

from densekd.errors import UserError


def make_loveda(root: Path) -> Path:
    for k, scene in enumerate(("Rural", "Urban")):
        home = root / "Train" / scene
        write(picture(k), home / "images_png" / f"{k}.png")
        write(blocks(k, (0, 1, 7)), home / "masks_png" / f"{k}.png")
    return root


def test_both_scenes_are_found_and_zero_is_ignored(tmp_path: Path) -> None:
    files = loveda(make_loveda(tmp_path), "train")
    assert [item.stem for item in files.items] == ["Rural/0", "Urban/1"]
    assert set(np.unique(files.label(0))) == {255, 0, 6}


def test_a_missing_split_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"LoveDA split 'val' not found; looked for .*/Val and"):
        loveda(make_loveda(tmp_path), "val")
