import json
import re
from pathlib import Path
from typing import Any

import pytest

from densekd.data.classes import distinct_colors, published_classes, read_classes
from densekd.errors import UserError


def classes_file(root: Path, content: Any) -> Path:
    path = root / "classes.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(("name", "count"), [("cityscapes", 19), ("ade20k", 150), ("voc", 21), ("cocostuff", 171)])
def test_classes_are_complete(name: str, count: int) -> None:
    classes = published_classes(name)
    assert len(classes.names) == len(set(classes.names)) == len(classes.palette) == count
    assert classes.ignore_index == 255
    assert len(classes.submission) in (0, count)


def test_classes_are_read_in_full(tmp_path: Path) -> None:
    content = {"names": ["a", "b"], "palette": [[1, 2, 3], [4, 5, 6]], "ignore_index": 7}
    classes = read_classes(classes_file(tmp_path, content))
    assert classes.names == ("a", "b")
    assert classes.palette == ((1, 2, 3), (4, 5, 6))
    assert classes.ignore_index == 7


def test_a_palette_is_made_where_there_is_none(tmp_path: Path) -> None:
    classes = read_classes(classes_file(tmp_path, {"names": [f"class {k}" for k in range(20)]}))
    assert len(set(classes.palette)) == 20
    assert list(classes.palette) == distinct_colors(20)
    assert classes.ignore_index == 255
    assert all(0 <= value <= 255 for color in classes.palette for value in color)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "Expecting property name"),
        ([], "list indices"),
        ({}, "'names'"),
        ({"names": 3}, "'int' object is not iterable"),
        ({"names": "road"}, "names must be a list"),
        ({"names": []}, "there are 0 names; 1 to 255 can be told apart in 8 bits"),
        ({"names": ["x"] * 256}, "there are 256 names"),
        ({"names": ["a", "b", "a"]}, "'a' is there twice"),
        ({"names": ["a", "b"], "palette": [[1, 2, 3]]}, "there are 2 names but 1 colors"),
        ({"names": ["a"], "palette": [[1, 2]]}, "not enough values to unpack"),
        ({"names": ["a"], "palette": [[1, 2, 256]]}, r"color \(1, 2, 256\) must lie in 0\.\.255"),
        ({"names": ["a", "b"], "ignore_index": 1}, r"ignore_index 1 must lie in 0\.\.255 and be no class"),
        ({"names": ["a", "b"], "ignore_index": 256}, r"ignore_index 256 must lie in 0\.\.255"),
        ({"names": ["a"], "ignore_index": None}, r"int\(\)"),
    ],
)
def test_a_malformed_classes_file_says_what_is_expected(tmp_path: Path, content: Any, complaint: str) -> None:
    path = classes_file(tmp_path, content)
    expected = re.escape('{"names": [...], "palette": [[r, g, b], ...], "ignore_index": 255}')
    with pytest.raises(UserError, match=rf"^{re.escape(str(path))}: expected {expected}; .*{complaint}"):
        read_classes(path)
