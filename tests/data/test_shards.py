"""Packed data is the same data: byte for byte, in any order, resumable, and readable by others."""

import importlib
import json
import tarfile
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch
from tiny_data import make_folder
from typer.testing import CliRunner

from densekd.builders.build import build
from densekd.builders.data import build_files
from densekd.cli.app import app
from densekd.data.camvid import camvid
from densekd.data.folder import folder
from densekd.data.sampler import Draw
from densekd.data.shards import shards, write_shards
from densekd.errors import UserError
from densekd.recipe import DataSpec, parse_recipe


@pytest.fixture
def packed(data_root: Path, tmp_path: Path) -> Path:
    for split in ("train", "val"):
        list(write_shards(folder(data_root, split), split, tmp_path / "shards", 500))
    return tmp_path / "shards"


def test_samples_are_the_same(data_root: Path, packed: Path) -> None:
    plain, found = folder(data_root, "train"), shards(packed, "train")
    assert found.classes == plain.classes
    assert [item.stem for item in found.items] == [item.stem for item in plain.items]
    for k in (4, 0, 5):
        assert found.items[k].image.read_bytes() == plain.items[k].image.read_bytes()
        assert all(np.array_equal(a, b) for a, b in zip(found.pair(k), plain.pair(k), strict=True))


def test_uncompressed_images_are_the_same_pixels(data_root: Path, tmp_path: Path) -> None:
    plain = folder(data_root, "train")
    list(write_shards(plain, "train", tmp_path, 1, "uncompressed"))
    found = shards(tmp_path, "train")
    assert found.items[3].image.read_bytes().startswith(b"P6")
    assert all(np.array_equal(a, b) for k in range(6) for a, b in zip(found.pair(k), plain.pair(k), strict=True))
    assert found.items[3].label.read_bytes() == plain.items[3].label.read_bytes()


def test_a_tar_is_closed_when_it_is_large_enough(data_root: Path, tmp_path: Path, monkeypatch: Any) -> None:
    plain = folder(data_root, "train")
    monkeypatch.setattr(importlib.import_module("densekd.data.shards"), "_MEGABYTE", 4000)
    list(write_shards(plain, "train", tmp_path, 1))
    tars = sorted(tmp_path.glob("*.tar"))
    assert [path.name for path in tars] == [f"train-{k:06}.tar" for k in range(len(tars))]
    assert len(tars) > 1
    found = shards(tmp_path, "train")
    assert all(np.array_equal(found.label(k), plain.label(k)) for k in range(6))
    names = []
    for path in tars:
        with tarfile.open(path) as tar:
            names += tar.getnames()
            for member in tar.getmembers():
                assert tar.extractfile(member).read()  # type: ignore[union-attr]
    assert names == [f"{k:09}.{kind}.png" for k in range(6) for kind in ("image", "label")]


def test_maps_of_labels_travel(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data", {"val": 2}, classes=6)
    label_of = camvid(root, "val")
    list(write_shards(label_of, "val", tmp_path / "out", 1))
    found = shards(tmp_path / "out", "val")
    assert found.label_map == label_of.label_map == {11: 255}
    assert np.array_equal(found.label(1), label_of.label(1))


def test_an_object_store_is_read_by_url(packed: Path, data_root: Path) -> None:
    memory = fsspec.filesystem("memory")
    for path in packed.iterdir():
        memory.pipe_file(f"/bucket/{path.name}", path.read_bytes())
    found = build_files(DataSpec(dataset="shards", root="memory://bucket"), "train")
    assert np.array_equal(found.image(2), folder(data_root, "train").image(2))


def test_one_line_of_a_recipe_switches_to_shards(recipe: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    result = CliRunner().invoke(app, ["data", "shard", str(tmp_path / "recipe.yaml"), str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    plain = build(parse_recipe(recipe, "test"))
    recipe["data"] |= {"dataset": "shards", "root": str(tmp_path / "out")}
    packed = build(parse_recipe(recipe, "test"))
    for k in range(4):
        one, other = plain.training[Draw(k, k)], packed.training[Draw(k, k)]
        assert torch.equal(one.image, other.image)
        assert torch.equal(one.label, other.label)


def test_no_flipped_bit_gives_other_pixels(packed: Path) -> None:
    files = shards(packed, "train")
    sound, expected = (packed / "train-000000.tar").read_bytes(), [files.pair(k) for k in range(2)]
    for place in range(0, len(sound), 97):
        damaged = bytearray(sound)
        damaged[place] ^= 1 << (place % 8)
        (packed / "train-000000.tar").write_bytes(bytes(damaged))
        for k in range(2):
            try:
                image, label = files.pair(k)
            except UserError:
                continue
            assert np.array_equal(image, expected[k][0])
            assert np.array_equal(label, expected[k][1])


def test_a_changed_index_is_named(packed: Path) -> None:
    index = packed / "train.json"
    index.write_text(index.read_text().replace("class1", "class7"))
    with pytest.raises(
        UserError, match=r"train\.json: not what was written, 'classes' was changed.*pack the shards anew"
    ):
        shards(packed, "train")


def test_what_is_missing_or_damaged_is_said(packed: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"looked for .*test\.json, which 'densekd data shard RECIPE"):
        shards(packed, "test")
    tar = packed / "train-000000.tar"
    tar.write_bytes(tar.read_bytes()[:2000])
    with pytest.raises(UserError, match=r"train-000000\.tar:.*images/train/005\.png: the image cannot be read"):
        shards(packed, "train").image(5)
    (packed / "val.json").write_text("[]")
    with pytest.raises(UserError, match="not an index of shards"):
        shards(packed, "val")
    with pytest.raises(UserError, match="not an index of shards"):
        shards("nosuchscheme://bucket", "val")
