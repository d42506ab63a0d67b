"""Batches of any loader become what a task reads."""

import pytest
import torch

from densekd.data.maps import Sample
from densekd.distill.batches import as_batch, as_samples, has_target, peek
from densekd.errors import UserError

IMAGES = torch.randint(0, 256, (2, 3, 40, 50), dtype=torch.uint8)
LABELS = torch.randint(0, 3, (2, 40, 50), dtype=torch.uint8)


def boxes_of(*corners: list[float]) -> torch.Tensor:
    return torch.tensor(corners).reshape(-1, 4)


def test_labels() -> None:
    for batch in ((IMAGES, LABELS), [IMAGES, LABELS], {"images": IMAGES, "target": LABELS}):
        found = as_batch(batch)
        assert found["images"] is IMAGES
        assert found["target"] is LABELS
        assert has_target(found)


def test_no_labels() -> None:
    for batch in (IMAGES, (IMAGES, None), {"images": IMAGES}, {"images": IMAGES, "target": None}):
        found = as_batch(batch)
        assert list(found) == ["images"]
        assert not has_target(found)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_images_of_several_sizes_with_boxes(dtype: torch.dtype) -> None:
    small, large = torch.ones(3, 20, 30, dtype=dtype), torch.ones(3, 40, 10, dtype=dtype)
    targets = [
        {"boxes": boxes_of([1, 2, 3, 4]), "labels": torch.tensor([1])},
        {"boxes": boxes_of(), "labels": torch.tensor([], dtype=torch.int64)},
    ]
    found = as_batch(((small, large), targets))
    # Padded to multiples of the coarsest stride.
    assert found["images"].shape == (2, 3, 64, 32)
    assert found["images"].dtype == dtype
    assert torch.equal(found["images"][0, :, :20, :30], small)
    assert found["sizes"].tolist() == [[20, 30], [40, 10]]
    assert found["boxes"][0] is targets[0]["boxes"]
    # Padding has the mean color, in the images' own range.
    assert found["images"][0, 0, -1, -1] == pytest.approx(124 if dtype == torch.uint8 else 124 / 255)
    samples = as_samples(found, first=10)
    assert [sample.image.shape for sample in samples] == [small.shape, large.shape]
    assert [sample.item.number for sample in samples] == [10, 11]
    assert samples[0].item.truth.boxes.tolist() == [[1, 2, 3, 4]]
    assert samples[0].item.truth.area.tolist() == [4]
    assert samples[1].item.truth.labels.shape == (0,)


def test_samples() -> None:
    first, second = as_samples((IMAGES, LABELS))
    assert torch.equal(first.image, IMAGES[0])
    assert torch.equal(second.label, LABELS[1])
    given = [Sample(IMAGES[0], LABELS[0])]
    assert as_samples(given) is given


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"image": IMAGES}, "A batch is a mapping with 'images' and 'target'; this one has image"),
        (3, "this one is a int"),
        ((IMAGES, LABELS, LABELS), "this one is a tuple"),
    ],
)
def test_what_is_no_batch(batch: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        as_batch(batch)


def test_validation_needs_labels() -> None:
    with pytest.raises(UserError, match="Validation data needs labels"):
        as_samples((IMAGES, None))


def test_peeking_loses_nothing() -> None:
    for data in ([1, 2, 3], iter([1, 2, 3]), (n for n in [1, 2, 3])):
        first, rest = peek(data)
        assert first == 1
        assert list(rest) == [1, 2, 3]
    with pytest.raises(UserError, match="The data gave no batch"):
        peek([])
