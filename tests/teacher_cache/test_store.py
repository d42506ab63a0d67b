"""The folder of a cache: shards, what is missing, what does not belong to it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from densekd.errors import UserError
from densekd.teacher_cache import store as module
from densekd.teacher_cache.store import Layout, Store, example_of, gigabytes

FACTS = {"teacher": {"digest": "abc"}, "views": {"size": (4, 6)}}


def features(first: int, count: int) -> dict[str, dict[str, torch.Tensor]]:
    values = torch.arange(first, first + count).float()[:, None].repeat(1, 3)
    return {"logits": {"values": values, "unit": values[:, :1].clone()}, "neck.0": {"values": values.clone()}}


def layout(entries: int = 7, facts: dict[str, Any] = FACTS) -> Layout:
    return Layout(facts, entries, example_of(features(0, 1)))


@pytest.fixture(autouse=True)
def _three_entries_in_a_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SHARD", 3 * layout().entry_bytes)


def write(store: Store, shard: int) -> None:
    entries = store.layout.shards[shard]
    store.write(shard, torch.tensor(list(entries)) * 11, features(entries[0], len(entries)))


def test_entries_are_divided_into_shards(tmp_path: Path) -> None:
    assert layout().entry_bytes == 8 + 4 * (3 + 1 + 3)
    assert layout().bytes == 7 * layout().entry_bytes
    assert layout().shards == [range(3), range(3, 6), range(6, 7)]
    assert Store(tmp_path / "cache", layout()).missing() == [0, 1, 2]


def test_every_entry_is_read_from_its_shard(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache", layout())
    for shard in (2, 0, 1):
        write(store, shard)
    assert store.missing() == []
    for number in range(7):
        entry = store[number]
        assert entry.checksum == 11 * number
        assert entry.teacher_features["logits"]["values"].tolist() == [number] * 3
        assert entry.teacher_features["logits"]["unit"].tolist() == [number]
        assert entry.teacher_features["neck.0"]["values"].tolist() == [number] * 3


def test_no_flipped_bit_gives_other_features(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache", layout())
    write(store, 0)
    path = tmp_path / "cache" / "000000.safetensors"
    sound = path.read_bytes()
    for place in range(len(sound)):
        damaged = bytearray(sound)
        damaged[place] ^= 1 << (place % 8)
        path.write_bytes(bytes(damaged))
        try:
            entries = [Store(tmp_path / "cache", layout())[number] for number in range(3)]
        except UserError:
            continue
        for number, entry in enumerate(entries):
            assert entry.checksum == 11 * number
            assert entry.teacher_features["logits"]["values"].tolist() == [number] * 3
            assert entry.teacher_features["neck.0"]["values"].tolist() == [number] * 3


def test_a_damaged_entry_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache", layout())
    write(store, 0)
    path = tmp_path / "cache" / "000000.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert store[0].checksum == 0
    with pytest.raises(UserError, match=r"000000\.safetensors: damaged: .* of entry 2 does not match\. Delete it"):
        Store(tmp_path / "cache", layout())[2]


def test_shards_of_earlier_versions_have_no_checksum_of_features(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache", layout())
    write(store, 0)
    path = tmp_path / "cache" / "000000.safetensors"
    parts = {name: value for name, value in load_file(path).items() if name != "features checksum"}
    save_file(parts, path)
    assert Store(tmp_path / "cache", layout())[2].checksum == 22


def test_a_cache_that_was_begun_is_known_again(tmp_path: Path) -> None:
    write(Store(tmp_path / "cache", layout()), 1)
    assert Store(tmp_path / "cache", layout()).missing() == [0, 2]
    changed = FACTS | {"views": {"size": (4, 8)}}
    with pytest.raises(UserError, match=r"views\.size is \[4, 6\] there and \[4, 8\] here\. Name another folder"):
        Store(tmp_path / "cache", layout(facts=changed))


def test_a_key_that_only_one_side_has_differs(tmp_path: Path) -> None:
    write(Store(tmp_path, layout()), 0)
    with pytest.raises(UserError, match=r"taps\.logits is None there and 3x4 here"):
        Store(tmp_path, layout(facts=FACTS | {"taps": {"logits": "3x4"}}))


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_damaged_description_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "cache.json").write_text(content)
    with pytest.raises(UserError, match=r"cache\.json, line 1: not valid JSON|made with something else"):
        Store(tmp_path, layout())


def test_the_description_comes_before_the_first_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(module, "save_file", refuse)
    with pytest.raises(OSError, match="disk full"):
        write(Store(tmp_path, layout()), 0)
    assert [path.name for path in tmp_path.iterdir()] == ["cache.json"]
    assert json.loads((tmp_path / "cache.json").read_text())["format"] == 1
    assert Store(tmp_path, layout()).missing() == [0, 1, 2]


def test_sizes_are_written_in_gb() -> None:
    assert gigabytes(1_234_567_890) == "1.23 GB"
