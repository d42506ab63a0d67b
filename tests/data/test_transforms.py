import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from densekd.data.photometric import PhotometricDistortion, photometric_distortion
from densekd.data.transforms import (
    Limits,
    PadToSize,
    RandomBrightness,
    RandomScaledCrop,
    ResizeKeepRatio,
    limited_size,
    limits_factor,
)

VOID = 255


def strip() -> Tensor:
    """A label of 48 x 48 that is 90 % one class: five columns of class 1 in a field of class 0."""
    label = torch.zeros(48, 48, dtype=torch.uint8)
    label[:, 20:25] = 1
    return label


def checks(height: int, width: int) -> tuple[Tensor, Tensor]:
    """An image whose color tells the label of each pixel, and that label with values 0, 1, 2 and void."""
    values = torch.tensor([0, 1, 2, VOID], dtype=torch.uint8)
    label = values[torch.randint(4, (height, width))]
    return torch.stack([label, 255 - label, label // 2]), label


def apply(transform: v2.Transform, image: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    out_image, out_label = transform(tv_tensors.Image(image), tv_tensors.Mask(label))
    return out_image.as_subclass(Tensor), out_label.as_subclass(Tensor)


def share_of_mixed_crops(max_class_share: float, draws: int) -> float:
    crop = RandomScaledCrop((16, 16), max_class_share, VOID)
    image, label = torch.zeros(3, 48, 48, dtype=torch.uint8), strip()
    crops = [apply(crop, image, label)[1] for _ in range(draws)]
    return sum(float((c == 0).float().mean()) < 0.75 for c in crops) / draws


def test_crops_of_one_class_are_drawn_again() -> None:
    # 12 of the 33 positions hold all five columns, which is less than three quarters of one class; eleven draws.
    once_differentiable = 12 / 33
    assert share_of_mixed_crops(1.0, 400) == pytest.approx(once_differentiable, abs=0.1)
    assert share_of_mixed_crops(0.75, 400) == pytest.approx(1 - (1 - once_differentiable) ** 11, abs=0.02)


def test_a_picture_of_one_class_is_cropped_all_the_same() -> None:
    image, label = torch.zeros(3, 20, 20, dtype=torch.uint8), torch.full((20, 20), 3, dtype=torch.uint8)
    assert apply(RandomScaledCrop((8, 8), 0.75, VOID), image, label)[1].tolist() == [[3] * 8] * 8


def test_void_does_not_count_as_a_class() -> None:
    crop = RandomScaledCrop((4, 4), 0.75, VOID)
    label = torch.zeros(4, 4, dtype=torch.uint8)
    label[:2] = VOID
    assert not crop._accepts(label)
    label[3] = 1
    assert crop._accepts(label)  # 4 and 4 of 8 labelled pixels
    label[3, 1:] = 0
    assert not crop._accepts(label)  # 7 of 8
    label[3] = torch.tensor([0, 0, 1, 1])
    assert not crop._accepts(label)  # 6 of 8 is the share, not less


def test_image_and_label_are_cut_in_the_same_place() -> None:
    image, label = checks(20, 24)
    for _ in range(10):
        cut, cut_label = apply(RandomScaledCrop((7, 9), 0.75, VOID), image, label)
        assert cut.shape == (3, 7, 9)
        assert torch.equal(cut[0], cut_label)
        assert torch.equal(cut[1], 255 - cut_label)


def test_padding_is_mean_colour_and_void_at_the_bottom_and_right() -> None:
    image, label = checks(5, 6)
    padded, padded_label = apply(RandomScaledCrop((8, 10), 0.75, VOID), image, label)
    assert padded.shape == (3, 8, 10)
    assert torch.equal(padded[:, :5, :6], image)
    assert torch.equal(padded_label[:5, :6], label)
    for outside in (padded[:, 5:], padded[:, :, 6:]):
        assert torch.equal(outside, torch.tensor((124, 116, 104), dtype=torch.uint8)[:, None, None].expand_as(outside))
    assert (padded_label[5:] == VOID).all()
    assert (padded_label[:, 6:] == VOID).all()


def test_padding_of_one_side_only_crops_the_other() -> None:
    image, label = checks(5, 30)
    padded, padded_label = apply(RandomScaledCrop((8, 10), 1, VOID), image, label)
    assert padded.shape == (3, 8, 10)
    assert torch.equal(padded[0, :5], padded_label[:5])
    assert (padded_label[5:] == VOID).all()


def test_the_void_label_of_the_data_is_the_padding() -> None:
    image, label = checks(5, 6)
    assert apply(RandomScaledCrop((6, 6), 1, 7), image, label)[1][5].tolist() == [7] * 6


def test_padding_that_comes_last_leaves_smaller_crops() -> None:
    image, label = checks(5, 30)
    crop = RandomScaledCrop((8, 10), 1, VOID, padding="last")
    cut, cut_label = apply(crop, image, label)
    assert cut.shape == (3, 5, 10)
    assert torch.equal(cut[0], cut_label)
    padded, padded_label = apply(PadToSize((8, 10), VOID), cut, cut_label)
    assert torch.equal(padded[:, :5], cut)
    assert padded[:, 5:].unique(dim=2).flatten(1)[:, 0].tolist() == [124, 116, 104]
    assert torch.equal(padded_label[:5], cut_label)
    assert (padded_label[5:] == VOID).all()


def test_where_the_padding_comes_does_not_change_the_draws() -> None:
    image, label = checks(20, 30)
    crops = []
    for padding in ("first", "last"):
        torch.manual_seed(3)
        crops.append(apply(RandomScaledCrop((24, 24), 0.75, VOID, (0.5, 2.0), padding), image, label)[0])
    first, last = crops
    _, height, width = last.shape
    assert torch.equal(first[:, :height, :width], last)


def test_scale_factors_fill_their_range() -> None:
    crop = RandomScaledCrop((8, 8), 1, VOID, (0.5, 2.0))
    flat = [tv_tensors.Mask(torch.zeros(400, 800, dtype=torch.uint8))]
    sizes = torch.tensor([crop.make_params(flat)["scaled"] for _ in range(900)]).double()
    factors = sizes[:, 1] / 800
    assert 0.5 <= factors.min() < 0.52
    assert 1.98 < factors.max() <= 2.0
    assert factors.mean().item() == pytest.approx(1.25, abs=0.08)
    assert (sizes[:, 0] - 400 * factors).abs().max() <= 1


@pytest.mark.parametrize("factor", [0.5, 0.613, 1.0, 1.5, 1.87, 2.0])
def test_the_crop_is_that_of_the_whole_resized_picture(factor: float) -> None:
    image, label = torch.randint(256, (3, 61, 83), dtype=torch.uint8), checks(61, 83)[1]
    crop = RandomScaledCrop((24, 30), 1, VOID, (factor, factor))
    for _ in range(20):
        flat = [tv_tensors.Image(image), tv_tensors.Mask(label)]
        parameters = crop.make_params(flat)
        cut, cut_label = (crop.transform(x, parameters).as_subclass(Tensor) for x in flat)
        size, (top, left, height, width) = list(parameters["scaled"]), parameters["box"]
        assert (height, width) == (24, 30)
        # The same of an image as decoders give it, channels side by side.
        decoded = tv_tensors.Image(image.permute(1, 2, 0).contiguous().permute(2, 0, 1))
        assert torch.equal(crop.transform(decoded, parameters).as_subclass(Tensor), cut)
        whole = functional.resize(image, size, antialias=True)[:, top : top + height, left : left + width]
        nearest = functional.InterpolationMode.NEAREST
        labels = functional.resize(label[None], size, interpolation=nearest)[0]
        assert torch.equal(cut_label, labels[top : top + height, left : left + width])
        difference = (cut.int() - whole.int()).abs()
        assert difference.max() <= 1  # two roundings to 8 bits
        assert (difference > 0).double().mean() < 0.03


@pytest.mark.parametrize(
    "transform",
    [
        RandomScaledCrop((20, 20), 1, VOID, (0.4, 2.5)),
        RandomScaledCrop((9, 33), 0.75, VOID),
        v2.RandomHorizontalFlip(0.5),
        photometric_distortion(),
        PhotometricDistortion(),
        v2.Compose([RandomScaledCrop((16, 16), 0.75, VOID, (0.5, 2)), v2.RandomHorizontalFlip(0.5)]),
    ],
    ids=["scale", "crop", "flip", "photometric", "photometric of mmseg", "all"],
)
def test_no_transform_invents_a_label(transform: v2.Transform) -> None:
    image, label = checks(23, 31)
    for _ in range(20):
        _, changed = apply(transform, image, label)
        assert set(changed.unique().tolist()) <= {0, 1, 2, VOID}
        assert changed.dtype == torch.uint8


def test_brightness_adds_and_clips() -> None:
    image = tv_tensors.Image(torch.tensor([0, 100, 250], dtype=torch.uint8).view(1, 1, 3).expand(3, 1, 3))
    label = tv_tensors.Mask(torch.zeros(1, 3, dtype=torch.uint8))
    shifts = set()
    for _ in range(200):
        bright, same = RandomBrightness(32)(image, label)
        low, middle, high = (int(v) for v in bright[0, 0])
        shift = middle - 100
        assert -32 <= shift <= 32
        assert (low, high) == (max(0, shift), min(255, 250 + shift))
        assert torch.equal(same, label)
        shifts.add(shift)
    assert min(shifts) < -20 < 20 < max(shifts)


@pytest.mark.parametrize(
    ("size", "limits", "factor", "expected"),
    [
        ((480, 640), (800, 1333), 800 / 480, (800, 1067)),  # COCO's usual picture in mmdetection
        ((427, 640), (800, 1333), 800 / 427, (800, 1199)),
        ((640, 360), (800, 1333), 1333 / 640, (1333, 750)),
        ((300, 1000), (800, 1333), 1.333, (400, 1333)),
        ((1200, 1600), (800, 1333), 800 / 1200, (800, 1067)),
        ((480, 640), (240,), 0.5, (240, 320)),
        ((1, 4000), (800, 1000), 0.25, (1, 1000)),
    ],
)
def test_sizes_within_limits_are_mmdetection_s(
    size: tuple[int, int], limits: Limits, factor: float, expected: tuple[int, int]
) -> None:
    assert limits_factor(size, limits) == pytest.approx(factor, rel=1e-12)
    assert limited_size(size, limits) == expected


def test_boxes_are_resized_by_the_ratio_of_the_sizes() -> None:
    image = tv_tensors.Image(torch.randint(256, (3, 427, 640), dtype=torch.uint8))
    corners = torch.tensor([[10.0, 20, 30, 40], [0, 0, 640, 427]])
    boxes = tv_tensors.BoundingBoxes(corners, format="XYXY", canvas_size=(427, 640))
    resized, moved, other = ResizeKeepRatio((200, 200), 1333)(image, boxes, torch.tensor([5]))
    assert resized.shape == (3, 200, 300)
    assert moved.canvas_size == (200, 300)
    factor = torch.tensor([300 / 640, 200 / 427] * 2)
    torch.testing.assert_close(moved.as_subclass(Tensor), corners * factor, rtol=1e-6, atol=0)
    assert torch.equal(other, torch.tensor([5]))


def test_the_shorter_side_s_limit_is_drawn_evenly_with_both_ends() -> None:
    image = tv_tensors.Image(torch.zeros(3, 10, 12, dtype=torch.uint8))
    resize = ResizeKeepRatio((10, 13))
    counts = torch.bincount(torch.tensor([resize(image).shape[-2] for _ in range(1200)]), minlength=14)
    assert counts[:10].sum() == 0
    assert counts[10:].tolist() == pytest.approx([300] * 4, abs=60)  # four standard deviations


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
def test_bands_are_cut_and_resized_as_colors_are(kind: torch.dtype) -> None:
    label = checks(48, 64)[1]
    image = torch.randint(0, 256, (3, 48, 64), dtype=torch.uint8)
    more = torch.cat([image, image.flip(0)[:2]])
    bands = more if kind == torch.uint8 else more / 255
    # Larger than the picture at times, so that it is padded too.
    means = tuple(level / 255 for level in (124, 116, 104, 10, 20))
    for seed in range(12):
        torch.manual_seed(seed)
        colors, cut = apply(RandomScaledCrop((56, 56), 1, VOID, (0.6, 1.5)), image, label)
        torch.manual_seed(seed)
        found, same = apply(RandomScaledCrop((56, 56), 1, VOID, (0.6, 1.5), means=means), bands, label)
        assert torch.equal(cut, same)
        assert found.dtype == kind
        expected = colors if kind == torch.uint8 else colors / 255
        # Pillow rounds colors to levels, and floats not.
        torch.testing.assert_close(found[:3], expected, rtol=0, atol=0 if kind == torch.uint8 else 1.01 / 255)


def test_padding_of_bands_is_their_mean() -> None:
    pad = PadToSize((4, 6), VOID, (0.2, 0.5))
    image, label = apply(pad, torch.zeros(2, 3, 3), torch.zeros(3, 3, dtype=torch.uint8))
    assert image[:, 3, 0].tolist() == pytest.approx([0.2, 0.5])
    assert image[:, 0, 5].tolist() == pytest.approx([0.2, 0.5])
    assert int(image[:, :3, :3].sum()) == 0
    assert int(label[3, 0]) == VOID
    levels, _ = apply(pad, torch.zeros(2, 3, 3, dtype=torch.uint8), torch.zeros(3, 3, dtype=torch.uint8))
    assert levels[:, 3, 3].tolist() == [51, 128]
