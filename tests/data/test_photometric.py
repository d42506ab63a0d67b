import hashlib
from typing import Literal

import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from densekd.data.photometric import BandDistortion, Distortion, PhotometricDistortion, distort, photometric_distortion


def noise() -> Tensor:
    """An image ``[3, 16, 32]`` of a linear congruential generator, so that nothing need be stored."""
    levels, state = [], 1
    for _ in range(16 * 32 * 3):
        state = (state * 1103515245 + 12345) % 2**31
        levels.append((state >> 23) % 256)
    return torch.tensor(levels, dtype=torch.uint8).view(16, 32, 3).permute(2, 0, 1)


def apply(transform: v2.Transform, image: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    out_image, out_label = transform(tv_tensors.Image(image), tv_tensors.Mask(label))
    return out_image.as_subclass(Tensor), out_label.as_subclass(Tensor)


# First two pixels and digest of what mmsegmentation 1.2.2's formula leaves of that image on OpenCV 5.0.0.
ORIGINAL = [
    (Distortion(brightness=17.3), [[148, 61, 96], [153, 255, 60]], "030507231974e4b8"),
    (Distortion(brightness=-31.9), [[99, 12, 47], [104, 210, 11]], "41b205abf36e99ae"),
    (Distortion(contrast=0.5), [[65, 22, 39], [68, 121, 21]], "466cede7bbcc49b1"),
    (Distortion(contrast=1.4987, contrast_first=True), [[196, 65, 118], [203, 255, 64]], "5391cd9f4a7321f0"),
    (Distortion(saturation=0.61), [[131, 78, 99], [177, 242, 120]], "9fdd07d34be677c1"),
    (Distortion(saturation=1.4321), [[131, 6, 56], [112, 242, 0]], "969a947b7ff7fab8"),
    (Distortion(hue=-18), [[131, 44, 130], [242, 228, 42]], "c52c77bdad87c2be"),
    (Distortion(hue=17), [[131, 58, 44], [42, 242, 62]], "0573bec597d9878f"),
    (Distortion(9.25, 1.31, 0.77, -7, True), [[183, 94, 150], [235, 255, 110]], "cafd3ebb6c30458a"),
    (Distortion(-20.125, 0.83, 1.29, 11, False), [[91, 0, 2], [18, 183, 0]], "bbc3df616414873d"),
]


@pytest.mark.parametrize(("draws", "first", "digest"), ORIGINAL)
def test_the_bytes_of_mmsegmentation(draws: Distortion, first: list[list[int]], digest: str) -> None:
    distorted = distort(noise(), draws).permute(1, 2, 0).contiguous()
    assert distorted[0, :2].tolist() == first
    assert hashlib.sha256(distorted.numpy().tobytes()).hexdigest()[:16] == digest


def test_contrast_multiplies_around_zero() -> None:
    """As the original: a mean of 62 becomes 31; around the mean grey it would stay."""
    grey = torch.full((3, 2, 2), 62, dtype=torch.uint8)
    assert distort(grey, Distortion(contrast=0.5)).unique().tolist() == [31]


def test_nothing_drawn_changes_nothing() -> None:
    assert torch.equal(distort(noise(), Distortion()), noise())


def test_draws_fill_their_ranges_and_each_comes_half_the_time() -> None:
    transform = PhotometricDistortion()
    draws = [transform.make_params([])["draws"] for _ in range(2000)]
    for name, low, high in [("brightness", -32, 32), ("contrast", 0.5, 1.5), ("saturation", 0.5, 1.5)]:
        found = torch.tensor([getattr(d, name) for d in draws if getattr(d, name) is not None])
        assert len(found) / 2000 == pytest.approx(0.5, abs=0.05)
        assert found.min() == pytest.approx(low, abs=0.02 * (high - low))
        assert found.max() == pytest.approx(high, abs=0.02 * (high - low))
        assert low <= found.min() < found.max() < high
        assert found.mean().item() == pytest.approx((low + high) / 2, abs=0.05 * (high - low))
    hues = [d.hue for d in draws if d.hue is not None]
    assert set(hues) == set(range(-18, 18))
    assert len(hues) / 2000 == pytest.approx(0.5, abs=0.05)
    assert sum(d.contrast_first for d in draws) / 2000 == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("transform", [PhotometricDistortion(), photometric_distortion()], ids=["mmseg", "torchvision"])
def test_distortion_changes_the_image_and_not_the_label(transform: v2.Transform) -> None:
    image, label = noise(), torch.randint(4, (16, 32), dtype=torch.uint8)
    changed = 0
    for _ in range(120):
        distorted, same = apply(transform, image, label)
        assert torch.equal(same, label)
        assert distorted.shape == image.shape
        assert distorted.dtype == torch.uint8
        changed += not torch.equal(distorted, image)
    assert 102 <= changed < 120  # 15 of 16 in the mean


def test_torchvisions_distortion_moves_grey_by_brightness_alone_in_half_of_the_draws() -> None:
    grey, label = torch.full((3, 4, 4), 128, dtype=torch.uint8), torch.zeros(4, 4, dtype=torch.uint8)
    levels = torch.stack([apply(photometric_distortion(), grey, label)[0].double() for _ in range(300)])
    assert (levels.amax((1, 2, 3)) - levels.amin((1, 2, 3))).max() <= 1
    means = levels.mean((1, 2, 3))
    # The greys of torchvision's other steps are rounded down, a level each.
    assert 93 <= means.min() < 104
    assert 152 < means.max() <= 160
    assert float(((means - 128).abs() <= 2).double().mean()) == pytest.approx(0.5 + 0.5 / 16, abs=0.1)


def test_torchvisions_distortion_turns_the_hue() -> None:
    """Red moves towards yellow and magenta by 18 degrees: 18 / 60 of the way, 76 levels."""
    red, label = torch.zeros(3, 1, 1, dtype=torch.uint8), torch.zeros(1, 1, dtype=torch.uint8)
    red[0] = 255
    seen = torch.stack([apply(photometric_distortion(), red, label)[0].flatten() for _ in range(400)])
    only_hue = seen[seen[:, 0] == 255]
    assert only_hue[:, 1].max() > 40
    assert only_hue[:, 2].max() > 40


@pytest.mark.parametrize("around", ["zero", "mean"])
def test_bands_are_brightened_and_stretched_alike(around: Literal["zero", "mean"]) -> None:
    image = torch.rand(5, 8, 8) * 0.4 + 0.3
    label = torch.zeros(8, 8, dtype=torch.uint8)
    transform = BandDistortion(around)
    changed = 0
    for seed in range(40):
        torch.manual_seed(seed)
        found, _ = apply(transform, image, label)
        torch.manual_seed(seed)
        levels, _ = apply(transform, (image * 255).round().to(torch.uint8), label)
        torch.testing.assert_close(levels, (found * 255).clamp(0, 255).round().to(torch.uint8), rtol=0, atol=2)
        # One line for all bands: a factor and a shift.
        slopes = (found[:, 1:] - found[:, :-1]) / (image[:, 1:] - image[:, :-1])
        factor = slopes.median().item()
        shift = (found - factor * image).mean().item()
        torch.testing.assert_close(found, factor * image + shift, rtol=0, atol=1e-4)
        assert 0.5 - 1e-3 <= factor <= 1.5 + 1e-3
        changed += not torch.equal(found, image)
    assert 20 <= changed <= 38
