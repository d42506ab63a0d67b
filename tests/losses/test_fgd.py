"""FGD against the authors' code in double precision, without boxes, of other widths, and what it refuses."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from densekd.losses.fgd import FGD
from densekd.ops.boxes import Boxes

B, C, H, W = 2, 6, 5, 7
WEIGHTS = ("foreground_weight", "background_weight", "attention_weight", "relation_weight")
SIZES = torch.tensor([[40, 56], [33, 50]])
BOXES = [
    torch.tensor([[4.0, 4.0, 50.0, 36.0], [20.0, 10.0, 30.0, 18.0]]),
    torch.tensor([[10.0, 0.0, 50.0, 33.0]]),
]
TARGET = Boxes(BOXES, [torch.zeros(len(x), dtype=torch.int64) for x in BOXES], SIZES)
NOTHING = TARGET._replace(boxes=[x[:0] for x in BOXES], labels=[x[:0] for x in TARGET.labels])


def weighted(*values: float) -> dict[str, float]:
    """Return the options that weigh the four summands."""
    return dict(zip(WEIGHTS, values, strict=True))


def maps(channels: tuple[int, int] = (C, C)) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    student, teacher = (2 * torch.randn(B, c, H, W, generator=generator, dtype=torch.float64) for c in channels)
    return student.requires_grad_(), teacher


def stirred(loss: FGD) -> FGD:
    """Move every weight, those that begin at zero too."""
    generator = torch.Generator().manual_seed(5)
    for parameter in loss.double().parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return loss


def literal(loss: FGD, student: Tensor, teacher: Tensor, target: Boxes) -> Tensor:
    """``FeatureLoss.forward`` of yzd-v/FGD: masks by loops over boxes and positions, roots before squares.

    ``extent: batch`` differs in the size that boxes are divided by alone: 64 x 64, which holds both images.
    """
    s, t = loss.align(student), teacher

    def attention(x: Tensor) -> tuple[Tensor, Tensor]:
        places = H * W * (x.abs().mean(1).view(B, -1) / loss.temperature).softmax(1).view(B, H, W)
        return places, C * (x.abs().mean(2).mean(2) / loss.temperature).softmax(1)

    (places_t, channels_t), (places_s, channels_s) = attention(t), attention(s)
    inside, outside = torch.zeros(B, H, W, dtype=t.dtype), torch.zeros(B, H, W, dtype=t.dtype)
    for i in range(B):
        height, width = target.sizes[i].tolist() if loss.extent == "image" else (64, 64)
        for x1, y1, x2, y2 in target.boxes[i].tolist():
            left, right = int(x1 / width * W // 1), -int(-x2 / width * W // 1)
            top, bottom = int(y1 / height * H // 1), -int(-y2 / height * H // 1)
            area = 1 / (bottom + 1 - top) / (right + 1 - left)
            for y in range(top, min(bottom + 1, H)):
                for x in range(left, min(right + 1, W)):
                    inside[i, y, x] = max(inside[i, y, x].item(), area)
        outside[i] = (inside[i] == 0).double()
        if outside[i].sum():
            outside[i] /= outside[i].sum()

    def weighted(x: Tensor, mask: Tensor) -> Tensor:
        return x * places_t[:, None].sqrt() * channels_t[:, :, None, None].sqrt() * mask[:, None].sqrt()

    def context(block: nn.Module, x: Tensor) -> Tensor:
        share = block.mask(x).view(B, 1, H * W).softmax(2)
        return block.add((x.view(B, C, H * W) @ share.transpose(1, 2)).view(B, C, 1, 1))

    foreground = (weighted(s, inside) - weighted(t, inside)).square().sum() / B
    background = (weighted(s, outside) - weighted(t, outside)).square().sum() / B
    mask = (channels_s - channels_t).abs().sum() / B + (places_s - places_t).abs().sum() / B
    global_s, global_t = s + context(loss.student_context, s), t + context(loss.teacher_context, t)
    relation = (global_s - global_t).square().sum() / B
    summands = (foreground, background, mask, relation)
    return torch.stack([getattr(loss, name) * x for name, x in zip(WEIGHTS, summands, strict=True)]).sum()


@pytest.mark.parametrize("target", [TARGET, NOTHING], ids=["boxes", "none"])
@pytest.mark.parametrize(
    "options",
    [{}, {"extent": "image"}, {"temperature": 2.0, **weighted(0.5, 1.0, 2.0, 0.25), "extent": "image"}],
    ids=str,
)
@pytest.mark.parametrize("width", [C, 4])
def test_equals_the_authors_code(width: int, options: dict[str, Any], target: Boxes) -> None:
    """Value, and gradients of student and weights: the teacher's block learns too."""
    loss, (student, teacher) = stirred(FGD(width, C, **options)), maps((width, C))
    value, wanted = loss(student, teacher, target), literal(loss, student, teacher, target)
    assert value.item() == pytest.approx(wanted.item(), rel=1e-12)
    leaves = [student, *loss.parameters()]
    for found, expected in zip(torch.autograd.grad(value, leaves), torch.autograd.grad(wanted, leaves), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12 * value.item())


def test_it_begins_without_context() -> None:
    """Before the blocks learn the relation is the plain squared distance, and equal maps cost nothing."""
    loss, (student, teacher) = FGD(C, C, **weighted(0, 0, 0, 1)).double(), maps()
    assert loss(student, teacher, TARGET).item() == pytest.approx((student - teacher).square().sum().item() / B)
    assert FGD(C, C).double()(student, student.detach(), TARGET).item() == 0


def test_each_summand_by_its_weight() -> None:
    student, teacher = maps()
    parts = [FGD(C, C, **weighted(*(float(i == k) for i in range(4)))).double() for k in range(4)]
    values = [loss(student, teacher, TARGET).item() for loss in parts]
    whole = FGD(C, C, **weighted(1.0, 2.0, 3.0, 4.0)).double()(student, teacher, TARGET).item()
    assert min(values) > 0.1
    assert whole == pytest.approx(sum((k + 1) * value for k, value in enumerate(values)), rel=1e-12)
    # Without boxes there is no foreground.
    assert parts[0](student, teacher, NOTHING).item() == 0


def test_the_mean_over_images_is_that_over_processes() -> None:
    """Nothing is taken over the batch: processes with one image each have the joined batch's value for a mean."""
    loss, (student, teacher) = stirred(FGD(C, C, extent="image")), maps()
    parts = [slice(k, k + 1) for k in range(B)]
    alone = [loss(student[k], teacher[k], Boxes(*(x[k] for x in TARGET))).item() for k in parts]
    assert sum(alone) / B == pytest.approx(loss(student, teacher, TARGET).item(), rel=1e-12)


def test_both_extents_agree_where_nothing_is_padded() -> None:
    full = TARGET._replace(sizes=torch.tensor([[32, 64]] * 2))
    values = [FGD(C, C, extent=extent).double()(*maps(), full).item() for extent in ("batch", "image")]
    assert values[0] == values[1]
    others = [FGD(C, C, extent=extent).double()(*maps(), TARGET).item() for extent in ("batch", "image")]
    assert others[0] != pytest.approx(others[1], rel=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (1, 2)])
def test_the_last_levels_of_a_pyramid(size: tuple[int, int]) -> None:
    student = torch.randn(B, C, *size, requires_grad=True)
    value = FGD(C, C)(student, torch.randn(B, C, *size), TARGET)
    value.backward()
    assert value.isfinite()
    assert student.grad is not None
    assert student.grad.isfinite().all()


def test_what_does_not_fit_is_refused() -> None:
    student, teacher = maps()
    with pytest.raises(ValueError, match="6 and 6 channels"):
        FGD(C, C)(student[:, :4], teacher, TARGET)
    with pytest.raises(ValueError, match="needs boxes for 2 images, as in detection; there are none"):
        FGD(C, C)(student, teacher, None)
