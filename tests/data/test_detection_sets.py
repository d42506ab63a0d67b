"""What a detector is trained and scored on: boxes follow their images; nothing random depends on the past."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from dataset_trees import coco_content, make_coco, picture
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from densekd.data.coco import coco
from densekd.data.detection import (
    DetectionEvaluationSet,
    DetectionFiles,
    DetectionSample,
    DetectionTrainingSet,
    detection_batch,
    pad_to_batch,
    to_detector_input,
)
from densekd.data.loaders import TrainingLoader, evaluation_loader
from densekd.data.photometric import photometric_distortion
from densekd.data.sampler import Draw, Shard, StepSampler
from densekd.data.transforms import MEAN_COLOR, ResizeKeepRatio
from densekd.errors import UserError

ONE = 3 * 64 * 128 + 2 * (16 + 8)  # bytes of a decoded sample with two boxes


@pytest.fixture
def files(tmp_path: Path) -> DetectionFiles:
    """Three images of 64 x 128: a car and a speck (a crowd is not learnt), nothing, a person."""
    make_coco(tmp_path / "instances_train.json", tmp_path / "train")
    return coco(tmp_path, "train")


def views(files: DetectionFiles, seed: int = 0, cache_bytes: int = 0) -> DetectionTrainingSet:
    steps = [ResizeKeepRatio((30, 60), 100), v2.RandomHorizontalFlip(0.5), photometric_distortion()]
    return DetectionTrainingSet(files, None, v2.Compose(steps), seed, cache_bytes)


def same(one: DetectionSample, other: DetectionSample) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_sample_is_what_is_learnt(files: DetectionFiles) -> None:
    one = DetectionTrainingSet(files, None, v2.Identity(), 0, 0)
    assert len(one) == 3
    image, boxes, labels = one[Draw(0, 0)]
    assert type(image) is type(boxes) is type(labels) is Tensor
    assert (image.dtype, boxes.dtype, labels.dtype) == (torch.uint8, torch.float32, torch.int64)
    assert torch.equal(image, torch.from_numpy(picture(1)).permute(2, 0, 1))
    assert torch.equal(boxes, torch.tensor([[100, 10, 128, 40], [40.3, 5, 41.3, 6]]))
    assert labels.tolist() == [0, 1]


def test_an_image_without_boxes_is_background(files: DetectionFiles) -> None:
    for number in range(4):
        image, boxes, labels = views(files)[Draw(1, number)]
        assert image.shape[0] == 3
        assert (boxes.shape, boxes.dtype) == ((0, 4), torch.float32)
        assert (labels.shape, labels.dtype) == ((0,), torch.int64)


# 64 x 128 within the limits; int(x * factor + 0.5).
SIZES = [
    ((32, 128), (32, 64)),
    ((64, 100), (50, 100)),
    ((48,), (48, 96)),
    ((90, 1333), (90, 180)),
    ((33, 1000), (33, 66)),
    # Rounded by different factors: 33 / 64 and 65 / 128.
    ((40, 65), (33, 65)),
]


@pytest.mark.parametrize(("limits", "size"), SIZES)
def test_images_are_brought_within_limits_with_their_boxes(
    files: DetectionFiles, limits: Any, size: tuple[int, int]
) -> None:
    image, boxes, _ = DetectionTrainingSet(files, limits, v2.Identity(), 0, 10**9)[Draw(2, 0)]
    assert image.shape == (3, *size)
    y, x = size[0] / 64, size[1] / 128
    torch.testing.assert_close(boxes, torch.tensor([[1.5 * x, 2 * y, 11.5 * x, 22 * y]]), rtol=1e-6, atol=0)
    expected = functional.resize(torch.from_numpy(picture(0)).permute(2, 0, 1), list(size), antialias=True)
    assert torch.equal(image, expected)


def test_drawn_sizes_and_flips_move_boxes_exactly(files: DetectionFiles) -> None:
    sides, flipped = set(), set()
    for number in range(60):
        image, boxes, _ = DetectionTrainingSet(
            files, None, v2.Compose([ResizeKeepRatio((20, 30), 55), v2.RandomHorizontalFlip(0.5)]), 3, 0
        )[Draw(2, number)]
        height, width = image.shape[-2:]
        y, x = height / 64, width / 128
        as_is = torch.tensor([[1.5 * x, 2 * y, 11.5 * x, 22 * y]])
        turned = torch.tensor([[width - 11.5 * x, 2 * y, width - 1.5 * x, 22 * y]])
        flip = not torch.allclose(boxes, as_is)
        torch.testing.assert_close(boxes, turned if flip else as_is, rtol=1e-6, atol=1e-5)
        scaled = functional.resize(torch.from_numpy(picture(0)).permute(2, 0, 1), [height, width], antialias=True)
        assert torch.equal(image, scaled.flip(-1) if flip else scaled)
        sides.add((height, width))
        flipped.add(flip)
    # The shorter side is drawn from 20 to 30, but from 28 on the longer one's limit of 55 rules.
    assert sides == {(side, 2 * side) for side in range(20, 28)} | {(28, 55)}
    assert flipped == {False, True}


def test_a_sample_depends_on_seed_and_number_alone(files: DetectionFiles) -> None:
    draws = [Draw(number % 3, number) for number in range(12)]
    forward = [views(files)[random_sample] for random_sample in draws]
    cached = views(files, cache_bytes=10**9)
    torch.manual_seed(99)
    backward = [cached[random_sample] for random_sample in reversed(draws)][::-1]
    again = [cached[random_sample] for random_sample in draws]
    for first, second, third in zip(forward, backward, again, strict=True):
        assert same(first, second)
        assert same(first, third)
    other = [views(files, seed=1)[random_sample] for random_sample in draws]
    assert not any(same(first, second) for first, second in zip(forward, other, strict=True))
    assert not same(cached[Draw(0, 0)], cached[Draw(0, 3)])


def test_drawing_leaves_the_global_generator_alone(files: DetectionFiles) -> None:
    state = torch.get_rng_state()
    views(files)[Draw(0, 0)]
    assert torch.equal(torch.get_rng_state(), state)


def test_the_cache_keeps_to_its_budget_and_is_not_changed(files: DetectionFiles) -> None:
    one = views(files, cache_bytes=ONE)
    before = [one[Draw(0, number)] for number in range(3)]
    one[Draw(1, 0)]
    assert list(one.cache.samples) == [0]
    assert one.cache.free_bytes == 0
    assert torch.equal(one.cache.samples[0].boxes, torch.tensor([[100, 10, 128, 40], [40.3, 5, 41.3, 6]]))
    nowhere = tuple(item._replace(image=Path("/nowhere.png")) for item in files.items)
    one.files = dataclasses.replace(files, items=nowhere)
    assert all(same(one[Draw(0, number)], before[number]) for number in range(3))
    with pytest.raises(UserError, match=r"^/nowhere\.png: the image cannot be read"):
        one[Draw(1, 0)]


def test_labels_follow_boxes_that_an_augmentation_drops(files: DetectionFiles) -> None:
    image, boxes, labels = DetectionTrainingSet(files, None, v2.SanitizeBoundingBoxes(min_size=5), 0, 0)[Draw(0, 0)]
    assert boxes.tolist() == [[100, 10, 128, 40]]
    assert labels.tolist() == [0]
    assert image.shape == (3, 64, 128)


def test_a_batch_is_padded_at_the_bottom_and_right_with_the_mean_colour() -> None:
    shapes = [(33, 20), (10, 64), (5, 7)]
    images = [torch.randint(256, (3, *shape), dtype=torch.uint8) for shape in shapes]
    boxes = [torch.rand(n, 4) for n in (2, 0, 1)]
    labels = [torch.arange(n) for n in (2, 0, 1)]
    batch = detection_batch([DetectionSample(*parts) for parts in zip(images, boxes, labels, strict=True)])
    assert set(batch) == {"images", "boxes", "labels", "sizes"}
    assert batch["images"].shape == (3, 3, 64, 64)
    assert batch["images"].dtype == torch.uint8
    assert batch["sizes"].dtype == torch.int64
    assert batch["sizes"].tolist() == [list(shape) for shape in shapes]
    assert all(torch.equal(a, b) for a, b in zip(batch["boxes"], boxes, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(batch["labels"], labels, strict=True))
    for padded, image, (height, width) in zip(batch["images"], images, shapes, strict=True):
        assert torch.equal(padded[:, :height, :width], image)
        for rest in (padded[:, height:], padded[:, :, width:]):
            assert torch.equal(rest, torch.tensor(MEAN_COLOR, dtype=torch.uint8)[:, None, None].expand_as(rest))


def test_a_multiple_of_32_is_not_padded() -> None:
    images, sizes = pad_to_batch([torch.zeros(3, 32, 64, dtype=torch.uint8)])
    assert images.shape == (1, 3, 32, 64)
    assert sizes.tolist() == [[32, 64]]
    assert int(images.sum()) == 0


@pytest.mark.parametrize(("limits", "size"), [(None, (64, 128)), *SIZES])
def test_evaluation_samples_are_whole_with_their_item(
    files: DetectionFiles, limits: Any, size: tuple[int, int]
) -> None:
    one = DetectionEvaluationSet(files, limits)
    assert len(one) == 3
    image, item = one[0]
    assert image.shape == (3, *size)
    assert torch.equal(image, to_detector_input(picture(1), limits))
    assert item.stem == files.items[0].stem
    assert item.truth.boxes.tolist() == files.items[0].truth.boxes.tolist()
    assert len(item.truth.boxes) == 3


@pytest.mark.parametrize("workers", [0, 2])
def test_loaders_batch_what_a_task_reads(files: DetectionFiles, workers: int) -> None:
    loader = TrainingLoader(views(files), StepSampler(3, 2, 4, 0, Shard()), workers)
    batches = list(loader)
    assert len(batches) == 4
    reference = list(TrainingLoader(views(files, cache_bytes=10**9), StepSampler(3, 2, 4, 0, Shard()), 0))
    for batch, other in zip(batches, reference, strict=True):
        assert torch.equal(batch["images"], other["images"])
        assert torch.equal(batch["sizes"], other["sizes"])
        assert all(torch.equal(a, b) for a, b in zip(batch["boxes"], other["boxes"], strict=True))
        assert batch["images"].shape[-2] % 32 == batch["images"].shape[-1] % 32 == 0


def test_a_state_resumes_in_the_middle(files: DetectionFiles) -> None:
    def loader() -> Any:
        return TrainingLoader(views(files), StepSampler(3, 2, 4, 0, Shard()), 0)

    whole, interrupted = list(loader()), loader()
    batches = iter(interrupted)
    next(batches)
    resumed = loader()
    resumed.load_state_dict(interrupted.state_dict())
    rest = list(resumed)
    assert len(rest) == 3
    assert all(torch.equal(a["images"], b["images"]) for a, b in zip(rest, whole[1:], strict=True))


@pytest.mark.parametrize("world", [1, 2, 4])
def test_evaluation_covers_each_image_once_over_all_processes(files: DetectionFiles, world: int) -> None:
    loaders = [
        evaluation_loader(DetectionEvaluationSet(files, (32,)), 2, 0, Shard(rank, world)) for rank in range(world)
    ]
    numbers = [sample.item.number for loader in loaders for batch in loader for sample in batch]
    assert sorted(numbers) == [10, 20, 30]


def test_an_image_of_another_size_stops_a_training(tmp_path: Path) -> None:
    content = coco_content()
    content["images"][1]["width"] = 127
    make_coco(tmp_path / "instances_train.json", tmp_path / "train", content)
    with pytest.raises(UserError, match=r"010\.png is 128 x 64 pixels, but its annotations say 127 x 64"):
        views(coco(tmp_path, "train"))[Draw(0, 0)]


def test_bands_are_padded_with_their_means() -> None:
    one, other = torch.full((2, 32, 32), 10.0), torch.full((2, 30, 32), 20.0)
    one[1] += 100
    batch, _ = pad_to_batch([one, other])
    assert batch[1, :, 31, 0].tolist() == [15.0, 65.0]
    levels, _ = pad_to_batch([one.to(torch.uint8), other.to(torch.uint8)])
    assert levels[1, :, 31, 0].tolist() == [15, 65]
