from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densekd.builders.build import build
from densekd.data.maps import Sample
from densekd.errors import RecipeError, UserError
from densekd.recipe import parse_recipe
from densekd.tasks.common import upsample
from densekd.tasks.segmentation import Segmentation

VOID = 255


class Fixed(nn.Module):
    """A model whose logits were decided before; it remembers what it was given."""

    def __init__(self, logits: Tensor, align_corners: bool | None = None) -> None:
        super().__init__()
        self.logits = logits
        self.seen: list[Tensor] = []
        if align_corners is not None:
            self.align_corners = align_corners

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(images)
        return self.logits.expand(len(images), -1, -1, -1)


class Brightest(nn.Module):
    """A model that says 1 where the red channel is above one half, at half the resolution."""

    def forward(self, images: Tensor) -> Tensor:
        red = F.avg_pool2d(images[:, :1], 2)
        return torch.cat([0.5 - red, red - 0.5], 1)


def labels(*shape: int) -> Tensor:
    target = torch.randint(3, shape)
    target[torch.rand(shape) < 0.3] = VOID
    return target


def factors(weights: Any) -> Tensor | None:
    return None if weights == "none" else torch.tensor(weights)


def cross_entropy(task: Segmentation, logits: Tensor, target: Tensor) -> Tensor:
    return task.losses(Fixed(logits), logits, {}, target)["ce"]


@pytest.mark.parametrize("weights", ["none", (0.5, 2.0, 1.25)], ids=["plain", "weighted"])
@pytest.mark.parametrize("stride", [1, 4])
def test_cross_entropy_is_the_mean_over_labelled_pixels(weights: Any, stride: int) -> None:
    target, logits = labels(2, 12, 8), torch.randn(2, 3, 12 // stride, 8 // stride)
    large = F.interpolate(logits, (12, 8), mode="bilinear", align_corners=False)
    expected = F.cross_entropy(large, target, weight=factors(weights), ignore_index=VOID)
    assert cross_entropy(Segmentation(3, VOID, weights), logits, target).item() == pytest.approx(
        expected.item(), rel=1e-6
    )


def test_cross_entropy_by_hand() -> None:
    logits = torch.tensor([1.0, 1.0, 2.0]).log().view(1, 3, 1, 1).expand(1, 3, 1, 2)
    task = Segmentation(3, VOID, (3.0, 1.0, 1.0))
    value = cross_entropy(task, logits, torch.tensor([[[0, 2]]]))
    expected = (3 * torch.tensor(4.0).log() + torch.tensor(2.0).log()) / 4
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("weights", ["none", (0.5, 2.0, 1.25)], ids=["plain", "weighted"])
def test_all_pixels_as_the_divisor(weights: Any) -> None:
    target, logits = labels(2, 12, 8), torch.randn(2, 3, 12, 8)
    expected = F.cross_entropy(logits, target, weight=factors(weights), ignore_index=VOID, reduction="none").mean()
    task = Segmentation(3, VOID, weights, normalize="all")
    assert cross_entropy(task, logits, target).item() == pytest.approx(expected.item(), rel=1e-6)
    assert cross_entropy(task, logits, torch.full_like(target, VOID)).item() == 0


def test_double_precision_logits_stay() -> None:
    logits = torch.randn(1, 3, 2, 2, dtype=torch.float64)
    large = upsample(nn.Identity(), logits, torch.Size((5, 7)))
    assert large.dtype == torch.float64
    assert torch.equal(large, F.interpolate(logits, (5, 7), mode="bilinear", align_corners=False))


@pytest.mark.parametrize("weights", ["none", (0.5, 2.0, 1.25)], ids=["plain", "weighted"])
def test_a_batch_without_labels_gives_zero_and_no_gradient(weights: Any) -> None:
    logits = torch.randn(2, 3, 2, 2, requires_grad=True)
    loss = cross_entropy(Segmentation(3, VOID, weights), logits, torch.full((2, 8, 8), VOID))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_half_precision_logits_are_summed_in_full() -> None:
    target, logits = torch.randint(3, (1, 64, 64)), torch.randn(1, 3, 64, 64)
    half = cross_entropy(Segmentation(3, VOID), logits.bfloat16(), target)
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(F.cross_entropy(logits.bfloat16().float(), target).item(), rel=1e-6)


@pytest.mark.parametrize(("factor", "names"), [(0.4, ["ce", "aux"]), (1.5, ["ce", "aux"]), (0.0, ["ce"])])
def test_the_auxiliary_head_adds_its_share(factor: float, names: list[str]) -> None:
    target, logits, aux = labels(2, 8, 8), torch.randn(2, 3, 2, 2), torch.randn(2, 3, 2, 2)
    task = Segmentation(3, VOID, auxiliary_weight=factor)
    losses = task.losses(Fixed(logits), logits, {"aux": aux}, target)
    assert list(losses) == names
    if factor:
        assert losses["aux"].item() == pytest.approx(factor * cross_entropy(task, aux, target).item(), rel=1e-6)


def test_the_auxiliary_weight_is_two_fifths_unless_said_otherwise() -> None:
    assert Segmentation(3, VOID).auxiliary_weight == 0.4


@pytest.mark.parametrize(
    ("taps", "weight", "read"), [({"aux": "a"}, 0.4, ["aux"]), ({"aux": "a"}, 0.0, []), ({"logits": "l"}, 0.4, [])]
)
def test_aux_is_tapped_where_there_is_one_and_it_counts(taps: dict[str, str], weight: float, read: list[str]) -> None:
    student = nn.Identity()
    student.taps = taps
    assert Segmentation(3, VOID, auxiliary_weight=weight).student_taps(student) == read
    assert Segmentation(3, VOID).student_taps(nn.Identity()) == []


@pytest.mark.parametrize("align_corners", [True, False, None])
def test_prediction_enlarges_as_the_model_says(align_corners: bool | None) -> None:
    logits = torch.randn(1, 4, 3, 5)
    model = Fixed(logits, align_corners)
    predicted = (
        Segmentation(4, VOID).predict(model, torch.zeros(2, 3, 6, 10, dtype=torch.uint8), torch.Size((11, 13))).label
    )
    large = F.interpolate(logits, (11, 13), mode="bilinear", align_corners=bool(align_corners))
    assert predicted.shape == (2, 11, 13)
    assert predicted.dtype == torch.int64
    assert torch.equal(predicted[1], large.argmax(1)[0])


def test_a_model_without_head_is_not_trained() -> None:
    with pytest.raises(UserError, match="returns a list, not logits: it has no head"):
        cross_entropy(Segmentation(3, VOID), [torch.zeros(1, 8, 2, 2)], labels(1, 4, 4))


def test_a_model_of_other_classes_is_neither_trained_nor_scored() -> None:
    logits, target, images = torch.zeros(1, 5, 2, 2), labels(1, 4, 4), torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    task = Segmentation(3, VOID)
    message = r"logits are \[1, 5, 2, 2\], so it tells 5 classes apart, but the data has 3\."
    with pytest.raises(UserError, match=message):
        cross_entropy(task, logits, target)
    with pytest.raises(UserError, match=message):
        task.evaluate(Fixed(logits), [Sample(images[0], target[0])], task.metric())


def test_align_corners_makes_a_difference() -> None:
    logits, size = torch.tensor([[[[0.0, 1.0]]]]), torch.Size((1, 4))
    aligned, halved = (upsample(Fixed(logits, a), logits, size).flatten().tolist() for a in (True, False))
    assert aligned == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert halved == pytest.approx([0, 0.25, 0.75, 1])


def test_a_model_sees_float_rgb_between_0_and_1() -> None:
    model = Fixed(torch.zeros(1, 2, 1, 1))
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    Segmentation(2, VOID).predict(model, images, torch.Size((1, 1)))
    assert model.seen[0].flatten().tolist() == pytest.approx([0, 0.2, 1])


def test_a_batch_becomes_images_and_labels() -> None:
    batch: dict[str, Any] = {
        "images": torch.full((1, 3, 2, 2), 255, dtype=torch.uint8),
        "target": torch.full((1, 2, 2), 255, dtype=torch.uint8),
    }
    task = Segmentation(2, VOID)
    assert torch.equal(task.images(batch), torch.ones(1, 3, 2, 2))
    assert torch.equal(task.target(batch), torch.full((1, 2, 2), 255))
    assert batch["images"].max() == 255


def test_segmentation_needs_a_crop(recipe: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=r"augment\.crop: missing"):
        build(parse_recipe(recipe | {"augment": {}}, "test"))


def test_chance_is_a_uniform_guess_over_balanced_classes() -> None:
    """Every class is a third of 3000 pixels, and of each a third is called by each name."""
    task = Segmentation(3, VOID)
    metric = task.metric()
    truth = torch.arange(3).repeat_interleave(1000)
    metric.update(torch.arange(3).repeat(1000), truth)
    assert metric.compute()["miou"] == pytest.approx(task.chance, abs=0.1)
    assert task.chance == 20


def sample(height: int, width: int) -> Sample:
    """An image whose right half is bright; the label is right but for its first row, which is void."""
    label = torch.zeros(height, width, dtype=torch.uint8)
    label[:, width // 2 :] = 1
    image = 255 * label.expand(3, -1, -1)
    label = label.clone()
    label[0] = VOID
    return Sample(image.contiguous(), label)


def test_evaluation_takes_images_of_any_size_in_any_order() -> None:
    sizes = [(8, 8), (8, 8), (4, 12), (8, 8), (12, 4), (12, 4)]
    task = Segmentation(2, VOID)
    together, alone = task.metric(), task.metric()
    task.evaluate(Brightest(), [sample(*size) for size in sizes], together)
    for size in sizes:
        task.evaluate(Brightest(), [sample(*size)], alone)
    half = sum((height - 1) * width // 2 for height, width in sizes)
    assert together.counts.tolist() == alone.counts.tolist() == [[half, 0], [0, half]]


def test_evaluation_scores_at_the_size_of_the_label() -> None:
    large = sample(16, 16)
    small = Sample(large.image[:, ::2, ::2].contiguous(), large.label)
    task = Segmentation(2, VOID)
    metric = task.metric()
    task.evaluate(Brightest(), [small, sample(8, 8), large], metric)
    right = 2 * 15 * 8 + 7 * 4
    assert metric.counts.tolist() == [[right, 0], [0, right]]
