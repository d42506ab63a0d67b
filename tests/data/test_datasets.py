"""The table of datasets: each row is found, and says in one line what it is."""

import inspect
import re
from pathlib import Path

import pytest

from densekd.data import DATASETS
from densekd.errors import UserError


def description(name: str) -> str:
    return (inspect.getdoc(DATASETS[name]) or "").partition("\n")[0]


@pytest.mark.parametrize("name", DATASETS)
def test_the_first_line_names_the_dataset(name: str) -> None:
    letters = re.sub(r"[^a-z0-9]", "", description(name).lower())
    assert all(part in letters for part in name.split("-")), description(name)
    assert description(name).endswith(".")


def test_no_two_datasets_have_one_description() -> None:
    assert len({description(name) for name in DATASETS}) == len(DATASETS)


@pytest.mark.parametrize(
    ("name", "classes"),
    [("ade20k", 150), ("camvid", 11), ("cityscapes", 19), ("cocostuff", 171), ("cocostuff10k", 171), ("voc", 21)],
)
def test_benchmarks_say_how_many_classes_they_have(name: str, classes: int) -> None:
    assert f" {classes} classes" in description(name)


@pytest.mark.parametrize("name", DATASETS)
def test_a_dataset_is_called_with_root_and_split(name: str) -> None:
    root, split, *options = inspect.signature(DATASETS[name]).parameters.values()
    assert [root.name, split.name] == ["root", "split"]
    # A recipe without options is complete.
    assert all(option.default is not option.empty for option in options)


@pytest.mark.parametrize("name", sorted(set(DATASETS) - {"demo-depth"}))  # which makes its data where there is none
def test_an_empty_root_says_what_was_looked_for(tmp_path: Path, name: str) -> None:
    (tmp_path / "classes.json").write_text('{"names": ["road", "car"]}')
    with pytest.raises(UserError, match=r"looked for|no images|no such folder"):
        DATASETS[name](tmp_path, "train")
