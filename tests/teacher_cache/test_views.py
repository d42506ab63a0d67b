"""Numbers of views, and samples beside the features that were cached for them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.transforms import v2

from densekd.data.folder import folder
from densekd.data.maps import TrainingSet
from densekd.data.sampler import Draw
from densekd.data.transforms import RandomScaledCrop
from densekd.errors import UserError
from densekd.teacher_cache.store import Entry
from densekd.teacher_cache.views import AugmentedViews, CachedSamples, checksum, describe_files


@pytest.fixture
def views(data_root: Path) -> AugmentedViews:
    augment = v2.Compose([RandomScaledCrop((32, 32), 1.0, 255), v2.RandomHorizontalFlip(0.5)])
    return AugmentedViews(TrainingSet(folder(data_root, "train"), None, augment, 0, 0), 3)


def test_epoch_after_epoch_takes_the_next_view(views: AugmentedViews) -> None:
    assert len(views) == 18
    # Image 4 is drawn somewhere in each of five epochs of six images.
    numbers = [views.number(Draw(4, 6 * epoch + 2)) for epoch in range(5)]
    assert numbers == [12, 13, 14, 12, 13]


def test_a_view_is_fixed_and_of_its_image(views: AugmentedViews) -> None:
    first, again, other = views[13], views[13], views[14]
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.label, again.label)
    assert not torch.equal(first.image, other.image)
    assert torch.equal(first.image, views.training[Draw(4, 13)].image)


class Stored:
    """A cache whose features are the number of the view."""

    folder = Path("cache")

    def __init__(self, views: AugmentedViews) -> None:
        self.views = views

    def __getitem__(self, number: int) -> Entry:
        features = {"logits": {"values": torch.tensor([float(number)])}}
        return Entry(checksum(self.views[number].image), features)


def test_samples_come_with_the_features_of_their_view(views: AugmentedViews) -> None:
    samples: Any = CachedSamples(views, Stored(views))  # type: ignore[arg-type]
    assert len(samples) == 6
    batch = samples.collate([samples[Draw(4, 8)], samples[Draw(0, 2)]])
    assert batch["teacher_features"]["logits"]["values"].tolist() == [[13.0], [0.0]]
    assert torch.equal(batch["images"][0], views[13].image)
    assert batch["target"].shape == (2, 32, 32)


def test_an_image_that_changed_is_refused(views: AugmentedViews, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = CachedSamples(views, Stored(views))  # type: ignore[arg-type]
    monkeypatch.setattr(Stored, "__getitem__", lambda *_: Entry(0, {}))
    with pytest.raises(UserError, match="the teacher saw another image where '004' is now"):
        samples[Draw(4, 8)]


def test_a_description_of_files_is_of_names_and_sizes(data_root: Path, tmp_path: Path) -> None:
    train, val = folder(data_root, "train"), folder(data_root, "val")
    assert describe_files(train) == describe_files(folder(data_root, "train"))
    assert describe_files(train) != describe_files(val)
    assert len(describe_files(train)) == 16
    # Labels decide which crops are accepted, so another label makes another cache.
    first, *others = train.items
    assert isinstance(first.label, Path)
    longer = tmp_path / "longer.png"
    longer.write_bytes(first.label.read_bytes() + b"0")
    changed = replace(train, items=(first._replace(label=longer), *others))
    assert describe_files(changed) != describe_files(train)
