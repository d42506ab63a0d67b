"""Whole images, windows, scales and mirror images against literal computations."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densekd.tasks.segmentation import inference, sliding
from densekd.tasks.segmentation.inference import Inference, TensorPixels, Window, upsample_rows, windows


class Strided(nn.Module):
    """A convolution with stride 4: logits depend on a neighbourhood, so that windows and scales matter."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 5, 7, 4, 3)
        self.batches: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.batches.append(len(images))
        return self.conv(images)


@pytest.fixture
def model() -> Strided:
    return Strided()


IMAGES = torch.rand(2, 3, 37, 50, generator=torch.Generator().manual_seed(1))


def full(logits: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:
    return F.interpolate(logits, size, mode="bilinear", align_corners=align_corners)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize(
    ("small", "large"),
    [
        ((5, 7), (33, 50)),
        ((17, 21), (129, 161)),
        ((33, 40), (16, 20)),
        ((1, 1), (4, 5)),
        ((3, 8), (3, 16)),
        ((4, 4), (1, 1)),
    ],
)
def test_rows_are_those_of_the_whole(small: tuple[int, int], large: tuple[int, int], align_corners: bool) -> None:
    x = torch.randn(2, 3, *small, dtype=torch.float64)
    expected = full(x, large, align_corners)
    cut = large[0] // 3
    for rows in (range(cut), range(cut, large[0])):
        if rows:
            torch.testing.assert_close(
                upsample_rows(x, large, align_corners, rows), expected[:, :, rows.start : rows.stop], rtol=0, atol=1e-12
            )


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("size", [(37, 50), (74, 100), (20, 21)])
def test_whole(model: Strided, size: tuple[int, int], align_corners: bool) -> None:
    label, confidence = Inference().predict(model, IMAGES, size, align_corners)
    probability = full(model(IMAGES), size, align_corners).softmax(1)
    torch.testing.assert_close(confidence, probability.max(1).values)
    assert (label != probability.argmax(1)).double().mean() < 1e-3  # ties within rounding


def test_windows_cover_the_image_as_mmsegmentation_lays_them() -> None:
    places = [(y.start, y.stop, x.start, x.stop) for y, x in windows((10, 7), Window((4, 4), (3, 3)))]
    assert places == [
        (y, y + 4, x, x + 4) for y in (0, 3, 6) for x in (0, 3)
    ]  # fmt: skip
    assert [(y.stop, x.stop) for y, x in windows((3, 9), Window((4, 4), (4, 4)))] == [(3, 4), (3, 8), (3, 9)]


@pytest.mark.parametrize("crop", [(37, 50), (64, 64)])
def test_one_window_over_everything_equals_whole(model: Strided, crop: tuple[int, int]) -> None:
    whole = Inference().predict(model, IMAGES, (37, 50), False)
    slid = Inference(Window(crop, (32, 32))).predict(model, IMAGES, (37, 50), False)
    torch.testing.assert_close(slid.confidence, whole.confidence)
    assert torch.equal(slid.label, whole.label)


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_slide_equals_a_literal_computation(model: Strided, batch: int) -> None:
    total, count = torch.zeros(2, 5, 37, 50), torch.zeros(37, 50)
    for top in (0, 10, 20, 21):
        for left in (0, 12, 24, 30):
            part = model(IMAGES[:, :, top : top + 16, left : left + 20])
            total[:, :, top : top + 16, left : left + 20] += full(part, (16, 20), True)
            count[top : top + 16, left : left + 20] += 1
    expected = (total / count).softmax(1).max(1)
    model.batches.clear()
    found = Inference(Window((16, 20), (10, 12), batch)).predict(model, IMAGES, (37, 50), True)
    torch.testing.assert_close(found.confidence, expected.values)
    assert torch.equal(found.label, expected.indices)
    assert max(model.batches) <= 2 * batch
    assert sum(model.batches) == 2 * 16


@pytest.mark.parametrize("average", ["softmax", "logits"])
@pytest.mark.parametrize("window", [None, Window((24, 24), (16, 16))])
def test_scales_and_mirror_images_equal_a_literal_computation(
    model: Strided, average: str, window: Window | None
) -> None:
    size = (40, 60)
    single = Inference(window)
    scores = []
    for scale in (0.5, 1.0, 1.75):
        for mirrored in (False, True):
            images = IMAGES.flip(3) if mirrored else IMAGES
            shape = [round(scale * 37), round(scale * 50)]
            images = F.interpolate(images, shape, mode="bilinear", align_corners=False, antialias=True)
            view = single._logits(model, TensorPixels(images), (1.0, False), False)
            logits = view.rows(range(view.shape[2]))
            logits = full(logits, size, False)
            logits = logits.flip(3) if mirrored else logits
            scores.append(logits.softmax(1) if average == "softmax" else logits)
    mean = torch.stack(scores).mean(0)
    expected = (mean if average == "softmax" else mean.softmax(1)).max(1)
    inference = Inference(window, (0.5, 1.0, 1.75), "horizontal", average)  # type: ignore[arg-type]
    found = inference.predict(model, IMAGES, size, False)
    torch.testing.assert_close(found.confidence, expected.values, rtol=1e-5, atol=1e-6)
    assert torch.equal(found.label, expected.indices)


@pytest.mark.parametrize(("divisor", "fed"), [(1, (37, 50)), (2, (38, 50)), (32, (64, 64)), (37, (37, 74))])
def test_images_are_stretched_to_multiples_of_a_divisor(model: Strided, divisor: int, fed: tuple[int, int]) -> None:
    """SegFormer's AlignedResize: both sides are rounded up; the prediction has the size that is asked for."""
    images = F.interpolate(IMAGES, fed, mode="bilinear", align_corners=False)
    expected = full(model(images), (37, 50), False).softmax(1).max(1)
    found = Inference(divisor=divisor).predict(model, IMAGES, (37, 50), False)
    assert found.label.shape == (2, 37, 50)
    torch.testing.assert_close(found.confidence, expected.values)
    assert (found.label != expected.indices).double().mean() < 1e-3


def test_every_scale_is_stretched() -> None:
    sizes: list[tuple[int, ...]] = []

    def forward(images: Tensor) -> Tensor:
        sizes.append(tuple(images.shape[-2:]))
        return images

    Inference(scales=(0.5, 1.0, 2.0), divisor=16).predict(forward, IMAGES, (37, 50), False)
    # 18 x 25, 37 x 50 and 74 x 100, rounded up.
    assert sizes == [(32, 32), (48, 64), (80, 112)]


def test_it_is_deterministic_and_batches_do_not_matter(model: Strided) -> None:
    mode = Inference(Window((24, 24), (16, 16)), (1.0, 1.5), "horizontal")
    together = mode.predict(model, IMAGES, (37, 50), False)
    again = mode.predict(model, IMAGES, (37, 50), False)
    assert torch.equal(together.label, again.label)
    assert torch.equal(together.confidence, again.confidence)
    alone = mode.predict(model, IMAGES[1:], (37, 50), False)
    torch.testing.assert_close(alone.confidence, together.confidence[1:], rtol=1e-5, atol=1e-6)


def test_half_precision_logits_are_decided_in_float32(model: Strided) -> None:
    found = Inference().predict(lambda x: model(x).bfloat16(), IMAGES, (37, 50), False)
    assert found.confidence.dtype == torch.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scales": ()}, "positive"),
        ({"scales": (1.0, -0.5)}, "positive"),
        ({"window": Window((8, 8), (9, 8))}, "strides"),
        ({"window": Window((8, 8), (8, 0))}, "strides"),
        ({"divisor": 0}, "divisor"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Inference(**arguments)  # type: ignore[arg-type]


def whole_slide(model: nn.Module, images: Tensor, window: Window, align_corners: bool) -> Tensor:
    """Average windows in one map of the whole image: what stripes must equal bit for bit."""
    B, _, H, W = images.shape
    places = list(windows((H, W), window))
    count = images.new_zeros(H, W)
    total = images.new_zeros(B, 5, H, W)
    for first in range(0, len(places), window.batch):
        some = places[first : first + window.batch]
        logits = model(torch.cat([images[:, :, y, x] for y, x in some]))
        for (y, x), part in zip(some, torch.split(logits, B), strict=True):
            total[:, :, y, x] += full(part, (y.stop - y.start, x.stop - x.start), align_corners)
            count[y, x] += 1
    return total.div_(count)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("enlarged", [0, 1 << 28])
@pytest.mark.parametrize("stripe", [60000])
@pytest.mark.parametrize("crop", [(64, 160), (33, 140), (61, 40), (200, 260)])
@torch.no_grad()
def test_stripes_equal_the_whole_bit_for_bit(
    model: Strided,
    monkeypatch: pytest.MonkeyPatch,
    crop: tuple[int, int],
    stripe: int,
    enlarged: int,
    align_corners: bool,
) -> None:
    monkeypatch.setattr(inference, "_STRIPE_BYTES", stripe)
    monkeypatch.setattr(sliding, "_ENLARGED_BYTES", enlarged)
    images = torch.rand(1, 3, 150, 230, generator=torch.Generator().manual_seed(2))
    window = Window(crop, (crop[0] * 2 // 3, crop[1] * 2 // 3))
    found = Inference(window).predict(model, images, (150, 230), align_corners)
    scores = whole_slide(model, images, window, align_corners)
    assert torch.equal(found.label, scores.max(1).indices)
    # The averaged logits themselves, which every score follows from.
    view = sliding.WindowRows(model, TensorPixels(images), window, align_corners)
    parts = [view.rows(range(top, min(top + 7, 150))) for top in range(0, 150, 7)]
    assert torch.equal(torch.cat(parts, 2), scores)
    # The last digit of an exponential depends on where its stripe ends, as it always did.
    torch.testing.assert_close(found.confidence, (scores.max(1).values - scores.logsumexp(1)).exp(), rtol=1e-6, atol=0)
    # Mirror images and scales, added up in the same order.
    found = Inference(window, (1.0, 1.5), "horizontal").predict(model, images, (150, 230), align_corners)
    total = torch.zeros_like(scores)
    for scale in (1.0, 1.5):
        fed = images
        if scale != 1:
            fed = F.interpolate(images, [225, 345], mode="bilinear", align_corners=False, antialias=True)
        for mirrored in (False, True):
            part = whole_slide(model, fed.flip(3) if mirrored else fed, window, align_corners)
            part = part.flip(3) if mirrored else part
            total += upsample_rows(part, (150, 230), align_corners, range(150)).softmax(1)
    assert torch.equal(found.label, total.div_(4).max(1).indices)
    torch.testing.assert_close(found.confidence, total.max(1).values, rtol=1e-6, atol=0)


def test_windows_are_freed_when_no_row_below_needs_them(model: Strided) -> None:
    images = TensorPixels(torch.zeros(1, 3, 400, 64, dtype=torch.uint8))
    view = sliding.WindowRows(model, images, Window((32, 32), (16, 16)), False)
    most = 0
    for top in range(0, 400, 8):
        view.rows(range(top, top + 8))
        most = max(most, len(view._tiles))
    # Three windows in a row of them, two rows of them on a pixel, and the rest of a batch.
    assert most <= 3 * 2 + 3 + 3
