import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from densekd.data import maps
from densekd.data.files import SegmentationFiles
from densekd.data.folder import folder
from densekd.data.maps import (
    EvaluationSet,
    Sample,
    TrainingSet,
    as_batch,
    cache_budget,
    mix,
    seeded,
    to_model_input,
)
from densekd.data.photometric import photometric_distortion
from densekd.data.sampler import Draw
from densekd.data.transforms import RandomScaledCrop
from densekd.errors import UserError

ONE = 32 * 48 * 4  # bytes of one decoded sample


@pytest.fixture
def files(data_root: Path) -> SegmentationFiles:
    return folder(data_root, "train")


def training_set(files: SegmentationFiles, seed: int = 0, cache_bytes: int = 0) -> TrainingSet:
    crop, flip = RandomScaledCrop((24, 24), 0.75, 255, (0.5, 2)), v2.RandomHorizontalFlip(0.5)
    steps = [crop, flip, photometric_distortion()]
    return TrainingSet(files, None, v2.Compose(steps), seed, cache_bytes)


def same(one: Sample, other: Sample) -> bool:
    return torch.equal(one.image, other.image) and torch.equal(one.label, other.label)


def test_a_sample_is_plain_and_of_the_size_of_the_crop(files: SegmentationFiles) -> None:
    image, label = training_set(files)[Draw(0, 0)]
    assert type(image) is type(label) is Tensor
    assert image.shape == (3, 24, 24)
    assert label.shape == (24, 24)
    assert image.dtype == label.dtype == torch.uint8


def test_a_sample_depends_on_seed_and_number_alone(files: SegmentationFiles) -> None:
    draws = [Draw(number % 6, number) for number in range(12)]
    forward = [training_set(files)[random_sample] for random_sample in draws]
    backward_set = training_set(files, cache_bytes=100 * ONE)
    torch.manual_seed(99)
    backward = [backward_set[random_sample] for random_sample in reversed(draws)][::-1]
    cached = [backward_set[random_sample] for random_sample in draws]
    for first, second, third in zip(forward, backward, cached, strict=True):
        assert same(first, second)
        assert same(first, third)


def test_another_number_or_seed_gives_another_view(files: SegmentationFiles) -> None:
    one = training_set(files)
    assert not same(one[Draw(0, 0)], one[Draw(0, 6)])
    assert not same(one[Draw(0, 0)], training_set(files, seed=1)[Draw(0, 0)])


def test_drawing_leaves_the_global_generator_alone(files: SegmentationFiles) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    training_set(files)[Draw(0, 0)]
    assert torch.equal(torch.rand(3), expected)


def test_augmentation_does_not_touch_the_cache(files: SegmentationFiles) -> None:
    one = training_set(files, cache_bytes=100 * ONE)
    for number in range(8):
        one[Draw(0, number)]
    image, label = files.pair(0)
    assert torch.equal(one.cache.samples[0].image, torch.from_numpy(image).permute(2, 0, 1))
    assert torch.equal(one.cache.samples[0].label, torch.from_numpy(label))


@pytest.mark.parametrize(("budget", "kept"), [(0, 0), (ONE - 1, 0), (ONE, 1), (2 * ONE + ONE // 2, 2), (100 * ONE, 6)])
def test_the_cache_keeps_to_its_budget(files: SegmentationFiles, budget: int, kept: int) -> None:
    one = training_set(files, cache_bytes=budget)
    for _ in range(2):
        for index in range(6):
            one[Draw(index, index)]
    assert list(one.cache.samples) == list(range(kept))
    assert one.cache.free_bytes == budget - kept * ONE


def test_cached_files_are_not_read_again(files: SegmentationFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    one = training_set(files, cache_bytes=ONE)
    before = one[Draw(0, 3)], one[Draw(1, 4)]
    nowhere = tuple(item._replace(image=Path("/nowhere.png")) for item in files.items)
    one.files = dataclasses.replace(files, items=nowhere)
    assert same(one[Draw(0, 3)], before[0])
    with pytest.raises(UserError, match=r"^/nowhere\.png: the image cannot be read"):
        one[Draw(1, 4)]


def test_images_are_brought_to_a_size_before_they_are_cached(files: SegmentationFiles) -> None:
    one = TrainingSet(files, (16, 24), v2.Identity(), 0, 100 * ONE)
    image, label = one[Draw(0, 0)]
    assert image.shape == (3, 16, 24)
    assert torch.equal(label, torch.from_numpy(files.label(0))[::2, ::2])
    assert one.cache.free_bytes == 100 * ONE - ONE // 4


@pytest.mark.parametrize(
    ("setting", "workers", "expected"),
    [
        ("off", 0, 0),
        ("off", 4, 0),
        (0.5, 0, 500_000_000),
        (0.5, 1, 500_000_000),
        (0.5, 2, 250_000_000),
        ("auto", 0, 4096 * 1000 // 2),
        ("auto", 4, 4096 * 1000 // 8),
    ],
)
def test_cache_budget(monkeypatch: pytest.MonkeyPatch, setting: float | str, workers: int, expected: int) -> None:
    monkeypatch.setattr(maps, "free_memory", lambda: 4096 * 1000)
    assert cache_budget(setting, workers) == expected


def test_evaluation_samples_are_whole(files: SegmentationFiles) -> None:
    dataset = EvaluationSet(files, None)
    assert len(dataset) == 6
    image, label = files.pair(2)
    assert torch.equal(dataset[2].image, torch.from_numpy(image).permute(2, 0, 1))
    assert torch.equal(dataset[2].label, torch.from_numpy(label))


def test_evaluation_resizes_the_image_and_not_the_label(files: SegmentationFiles) -> None:
    image, label = EvaluationSet(files, (16, 20))[0]
    assert image.shape == (3, 16, 20)
    assert image.dtype == torch.uint8
    assert torch.equal(label, torch.from_numpy(files.label(0)))


def test_resizing_keeps_a_constant_colour() -> None:
    grey = np.full((8, 8, 3), (10, 100, 200), np.uint8)
    assert to_model_input(grey, (5, 3)).flatten(1).unique(dim=1).flatten().tolist() == [10, 100, 200]


def test_neighbouring_numbers_give_unrelated_seeds() -> None:
    """Pinned: a run that was begun must be resumable."""
    assert mix(0, 0) == 15793235383387715774
    seeds = {mix(seed, number) for seed in range(10) for number in range(100)}
    assert len(seeds) == 1000
    assert max(seeds) < 2**64
    bits = [(mix(0, number) ^ mix(0, number + 1)).bit_count() for number in range(200)]
    assert sum(bits) / 200 == pytest.approx(32, abs=2)


def test_a_batch_is_stacked() -> None:
    samples = [Sample(torch.full((3, 2, 2), k, dtype=torch.uint8), torch.full((2, 2), k + 5)) for k in range(4)]
    batch = as_batch(samples)
    assert batch["images"].shape == (4, 3, 2, 2)
    assert batch["target"][:, 0, 0].tolist() == [5, 6, 7, 8]


def test_a_sample_has_its_own_stream_and_leaves_the_global_one() -> None:
    torch.manual_seed(mix(3, 5))
    own = torch.rand(4)
    torch.manual_seed(7)
    expected = torch.rand(2)
    torch.manual_seed(7)
    first = torch.rand(1)
    with seeded(3, 5):
        assert torch.equal(torch.rand(4), own)
    assert torch.equal(torch.cat([first, torch.rand(1)]), expected)
