"""Filling: every view passes the teacher once, in batches of one size; what is there is kept."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from densekd.data.folder import folder
from densekd.data.maps import TrainingSet
from densekd.errors import UserError
from densekd.teacher_cache import store as store_module
from densekd.teacher_cache.fill import CacheWriter, fill
from densekd.teacher_cache.packing import Packing
from densekd.teacher_cache.store import Layout, Store, example_of
from densekd.teacher_cache.views import AugmentedViews, checksum

SIZES: list[int] = []


def extract(images: Tensor) -> dict[str, Tensor]:
    """A teacher whose features are sums over the image."""
    SIZES.append(len(images))
    sums = images.float().mean((2, 3), keepdim=True)
    return {"logits": sums, "unused": sums}


@pytest.fixture
def writer(data_root: Path) -> CacheWriter:
    SIZES.clear()
    training = TrainingSet(folder(data_root, "train"), None, v2.RandomCrop((16, 16)), 0, 0)
    return CacheWriter(AugmentedViews(training, 2), {"logits": Packing("fp32")}, batch=3, workers=0)


@pytest.fixture
def store(writer: CacheWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    example = example_of(writer.pack(extract(torch.zeros(1, 3, 16, 16, dtype=torch.uint8))))
    SIZES.clear()
    layout = Layout({"of": "a test"}, len(writer.views), example)
    monkeypatch.setattr(store_module, "_SHARD", 5 * layout.entry_bytes)
    return Store(tmp_path / "cache", layout)


def test_every_view_is_stored_with_its_features(writer: CacheWriter, store: Store) -> None:
    assert list(fill(store, writer, extract)) == [5, 5, 2]
    # Batches end with their shard and are filled up to one size.
    assert SIZES == [3] * 5
    assert store.missing() == []
    for number in range(12):
        image = writer.views[number].image
        entry = store[number]
        assert entry.checksum == checksum(image)
        assert entry.teacher_features.keys() == {"logits"}
        expected = image.float().mean((1, 2))
        assert torch.equal(entry.teacher_features["logits"]["values"].flatten(), expected)


def test_shards_that_are_there_are_kept(writer: CacheWriter, store: Store) -> None:
    list(fill(store, writer, extract))
    (store.folder / "000001.safetensors").unlink()
    SIZES.clear()
    assert list(fill(store, writer, extract)) == [5]
    assert SIZES == [3, 3]
    assert list(fill(store, writer, extract)) == []


def test_nothing_is_written_on_a_full_disk(writer: CacheWriter, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "free_bytes", lambda folder: 0)
    with pytest.raises(UserError, match="are to be written"):
        list(fill(store, writer, extract))
    assert not SIZES
    assert not store.folder.exists()
