"""Families: what each is known for, and names."""

from dataclasses import asdict

import pytest

from densekd.errors import RecipeError
from densekd.models.families import CAFFE, FAMILIES, IMAGENET, find_family


def differences(first: str, second: str) -> set[str]:
    a, b = asdict(FAMILIES[first]), asdict(FAMILIES[second])
    return {name for name in a if a[name] != b[name]}


def test_variants_differ_in_their_stem_alone() -> None:
    assert differences("mmseg", "mmseg_b") == {"stem_width"}
    assert differences("cirkd", "cirkd_vanilla") == {"stem_width"}
    assert differences("mmdet", "mmdet_caffe") == {"convention", "style"}


def test_conventions() -> None:
    assert FAMILIES["mmseg"].convention == IMAGENET
    assert FAMILIES["cirkd"].convention == FAMILIES["torchdistiller"].convention == CAFFE
    assert [255 * value for value in CAFFE.std] == [1, 1, 1]


def test_each_name_finds_its_family() -> None:
    assert all(find_family(name) is family for name, family in FAMILIES.items())


def test_unknown_family() -> None:
    message = (
        r"Unknown family 'mmsegg'. Did you mean 'mmseg'\? Known: cirkd, cirkd_ssseg, cirkd_vanilla, cirkdv2, hwd, mmdet"
    )
    with pytest.raises(RecipeError, match=message):
        find_family("mmsegg")
