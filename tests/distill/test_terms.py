"""Terms: weights over time, sizes, adapters, precision."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densekd.distill.adapters import conv
from densekd.distill.terms import PerLevel, TapPair, Term, WeightSchedule, paths
from densekd.errors import RecipeError
from densekd.losses.cgd import CGD
from densekd.losses.cwd import CWD
from densekd.losses.pixel import Pixel

SEGDISTILL = WeightSchedule(3.0, warmup=2000, decay=(110000, 120000))


class MetricsLogger(nn.Module):
    """A loss that keeps what it was given."""

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None) -> Tensor:
        self.student, self.teacher, self.target = student, teacher, target
        self.autocast = torch.is_autocast_enabled("cpu")
        return student.sum()


def make_term(loss: nn.Module, adapter: nn.Module | None = None, resize: str = "none") -> Term:
    taps = TapPair("features.3", "neck")
    return Term(loss, taps, adapter or nn.Identity(), WeightSchedule(1.0), resize)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("n", "weight"),
    [
        (1, 0.0015), (500, 0.75), (1999, 2.9985), (2000, 3), (2001, 3), (50001, 3), (110000, 3), (110001, 2.9997),
        (115000, 1.5), (119999, 0.0003), (120000, 0), (120001, 0), (160000, 0),
    ],
)  # fmt: skip
def test_weights_that_segdistill_ships(n: int, weight: float) -> None:
    assert SEGDISTILL(n) == pytest.approx(weight, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize(
    ("schedule", "weights"),
    [
        (WeightSchedule(2.5), {1: 2.5, 10**6: 2.5}),
        (WeightSchedule(3.0, warmup=4, warmup_shape="exponential"), {1: 3**0.25, 2: 3**0.5, 3: 3**0.75, 4: 3, 5: 3}),
        (WeightSchedule(3.0, warmup=4, warmup_shape="jump"), {1: 0, 3: 0, 4: 3, 5: 3}),
        (WeightSchedule(3.0, decay=(10, 20)), {1: 3, 10: 3, 11: 2.7, 15: 1.5, 19: 0.3, 20: 0, 21: 0}),
        (
            WeightSchedule(3.0, decay=(10, 20), decay_shape="exponential"),
            {10: 3, 11: 0.001 * 3**0.9, 15: 0.001 * 3**0.5, 19: 0.001 * 3**0.1, 20: 0},
        ),
        (WeightSchedule(3.0, decay=(10, 20), decay_shape="jump"), {10: 3, 11: 0, 15: 0, 20: 0}),
        (WeightSchedule(3.0, decay=(10, 10)), {10: 3, 11: 0}),
    ],
)
def test_shapes(schedule: WeightSchedule, weights: dict[int, float]) -> None:
    assert {n: schedule(n) for n in weights} == pytest.approx(weights, rel=1e-12)


@pytest.mark.parametrize("resize", ["none", "teacher", "student", "label"])
def test_resize(resize: str) -> None:
    student, teacher, target = torch.rand(2, 3, 4, 5), torch.rand(2, 3, 8, 7), torch.zeros(2, 16, 20, dtype=torch.int64)
    loss = MetricsLogger()
    make_term(loss, resize=resize)({"features.3": student}, {"neck": teacher}, target)
    sizes = {
        "none": ((4, 5), (8, 7)),
        "teacher": ((8, 7), (8, 7)),
        "student": ((4, 5), (4, 5)),
        "label": ((16, 20), (16, 20)),
    }[resize]
    for given, received, size in ((student, loss.student, sizes[0]), (teacher, loss.teacher, sizes[1])):
        resized = F.interpolate(given, size=size, mode="bilinear", align_corners=False)
        torch.testing.assert_close(received, resized if given.shape[-2:] != size else given, rtol=0, atol=0)
    assert loss.target is target


RESIZING = {
    "cwd": CWD(2.0),
    "cwd spatial": CWD(2.0, "spatial"),
    "cwd mse": CWD(normalize="none", divergence="mse"),
    "cgd": CGD(group_size=2),
    "cgd pixel": CGD(transform="pixel"),
    "cgd rows": CGD(transform="none"),
    "pixel": Pixel(255, 2.0),
    "pixel masked": Pixel(255, void="masked", reduction="element"),
    "pixel soft": Pixel(255, divergence="soft_ce"),
}


@pytest.mark.parametrize("loss", RESIZING.values(), ids=RESIZING)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_losses_that_enlarge_by_themselves(loss: nn.Module, dtype: torch.dtype) -> None:
    """As if both had been enlarged first; the teacher's size is its own."""
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(2, 3, 4, 5, generator=generator).to(dtype).requires_grad_()
    teacher, target = torch.randn(2, 3, 8, 7, generator=generator).to(dtype), torch.randint(3, (2, 16, 20))
    target[:, :4] = 255
    value = make_term(loss, resize="label")({"features.3": student}, {"neck": teacher}, target)
    wide = [
        F.interpolate(x if dtype == torch.float64 else x.float(), (16, 20), mode="bilinear") for x in (student, teacher)
    ]
    expected = loss(*wide, target)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(*(torch.autograd.grad(x, student)[0] for x in (value, expected)))


def test_resize_by_hand() -> None:
    """Twice as wide without aligned corners: the first and last values stay, the others are 1 : 3 mixtures."""
    loss = MetricsLogger()
    student = torch.tensor([[[[0.0, 4.0]]]])
    make_term(loss, resize="teacher")({"features.3": student}, {"neck": torch.zeros(1, 1, 1, 4)}, None)
    assert loss.student.flatten().tolist() == pytest.approx([0, 1, 3, 4])


def test_resize_to_labels_needs_labels() -> None:
    term = make_term(MetricsLogger(), resize="label")
    with pytest.raises(RecipeError, match="resize_to: label needs a map of labels"):
        term({"features.3": torch.rand(1, 1, 2, 2)}, {"neck": torch.rand(1, 1, 2, 2)}, None)


def test_the_adapter_learns_and_the_teacher_does_not() -> None:
    term = make_term(Pixel(255), conv(3, 4))
    student, teacher = torch.randn(1, 3, 2, 2, requires_grad=True), torch.randn(1, 4, 2, 2, requires_grad=True)
    term({"features.3": student}, {"neck": teacher}, None).backward()
    assert teacher.grad is None
    assert student.grad is not None
    (weight,) = term.parameters()
    assert weight.grad is not None
    assert weight.grad.abs().sum().item() > 0
    assert list(term.state_dict()) == ["adapter.weight"]


def test_the_value_is_unweighted() -> None:
    term = Term(MetricsLogger(), TapPair("a", "b"), nn.Identity(), WeightSchedule(7.0), "none")
    assert term({"a": torch.ones(1, 1, 2, 2)}, {"b": torch.ones(1, 1, 2, 2)}, None).item() == 4


def test_losses_are_computed_in_float32_under_autocast() -> None:
    loss = MetricsLogger()
    term = make_term(loss, conv(3, 3))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = term({"features.3": torch.rand(1, 3, 4, 4)}, {"neck": torch.rand(1, 3, 4, 4).bfloat16()}, None)
    assert (loss.student.dtype, loss.teacher.dtype, value.dtype) == (torch.float32,) * 3
    assert not loss.autocast
    rounded = loss.student.bfloat16().float()
    torch.testing.assert_close(loss.student, rounded, rtol=0, atol=0)  # the adapter itself ran in half precision


def test_kernels_on_a_gpu_read_half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU plays the GPU: the loss sees what lies in memory, other losses get float32."""
    student = torch.randn(2, 3, 4, 5).bfloat16().requires_grad_()
    teacher = torch.randn(2, 3, 4, 5).bfloat16()
    for loss in (CWD(2.0), Pixel(255)):
        term = Term(loss)
        seen: list[torch.dtype] = []
        loss.register_forward_pre_hook(lambda module, inputs, seen=seen: seen.append(inputs[0].dtype))
        wide = term({"logits": student}, {"logits": teacher}, None)
        monkeypatch.setattr("densekd.distill.terms._READ_HALF", ("cpu",))
        half = term({"logits": student}, {"logits": teacher}, None)
        monkeypatch.undo()
        assert seen == [torch.float32, torch.bfloat16]
        assert half.dtype == torch.float32
        torch.testing.assert_close(half, wide)
        ours, expected = (torch.autograd.grad(value, student)[0] for value in (half, wide))
        torch.testing.assert_close(ours, expected, rtol=2e-2, atol=1e-5)


def test_double_precision_stays() -> None:
    loss = MetricsLogger()
    x = torch.rand(1, 1, 2, 2, dtype=torch.float64)
    make_term(loss)({"features.3": x}, {"neck": x}, None)
    assert loss.student.dtype == torch.float64


class Levels(nn.Module):
    """A loss on tuples that keeps what it was given."""

    def forward(self, student: tuple[Tensor, ...], teacher: tuple[Tensor, ...], target: Tensor | None) -> Tensor:
        self.student, self.teacher = student, teacher
        return torch.stack([(s - t).square().mean() for s, t in zip(student, teacher, strict=True)]).sum()


PYRAMID = TapPair(("features.2", "features.3"), ("neck.1", "neck.0"))


def pyramid() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    student_features = {"features.2": torch.randn(2, 3, 8, 8), "features.3": torch.randn(2, 5, 4, 4)}
    teacher_features = {"neck.0": torch.randn(2, 6, 6, 6), "neck.1": torch.randn(2, 4, 10, 10)}
    both = (
        {name: tensor.requires_grad_() for name, tensor in side.items()}
        for side in (student_features, teacher_features)
    )
    return next(both), next(both)


def test_several_taps_reach_the_loss_as_tuples() -> None:
    loss, (student_features, teacher_features) = Levels(), pyramid()
    adapter = PerLevel([conv(3, 4), conv(5, 6)])
    term = Term(loss, PYRAMID, adapter, WeightSchedule(1.0), "teacher")
    value = term(student_features, teacher_features, None)
    assert isinstance(loss.student, tuple)
    assert isinstance(loss.teacher, tuple)
    assert [list(x.shape) for x in loss.student] == [list(x.shape) for x in loss.teacher]
    assert [x.shape[-1] for x in loss.teacher] == [10, 6]
    torch.testing.assert_close(loss.teacher, (teacher_features["neck.1"], teacher_features["neck.0"]), rtol=0, atol=0)
    by_hand = _single(term, 0, student_features, teacher_features) + _single(
        term, 1, student_features, teacher_features
    )
    assert value.item() == pytest.approx(by_hand.item(), rel=1e-6)
    assert list(term.state_dict()) == ["adapter.0.weight", "adapter.1.weight"]


def _single(term: Term, level: int, student_features: dict[str, Tensor], teacher_features: dict[str, Tensor]) -> Tensor:
    adapter = term.adapter[level]  # type: ignore[index]
    teacher = teacher_features[PYRAMID.teacher[level]]
    student = F.interpolate(adapter(student_features[PYRAMID.student[level]]), size=teacher.shape[-2:], mode="bilinear")
    return (student - teacher).square().mean()


def test_every_level_learns_and_no_teacher_does() -> None:
    student_features, teacher_features = pyramid()
    adapter = PerLevel([conv(3, 4), conv(5, 6)])
    Term(Levels(), PYRAMID, adapter, WeightSchedule(1.0), "student")(
        student_features, teacher_features, None
    ).backward()
    assert all(tensor.grad is not None and tensor.grad.abs().sum() > 0 for tensor in student_features.values())
    assert all(parameter.grad is not None for parameter in adapter.parameters())
    assert all(tensor.grad is None for tensor in teacher_features.values())


@pytest.mark.parametrize(
    "adapter", [nn.Identity(), PerLevel([nn.Identity(), nn.Identity()])], ids=["none", "each none"]
)
def test_levels_in_half_precision_are_widened(adapter: nn.Module) -> None:
    loss = Levels()
    halves = {"a": torch.rand(1, 1, 2, 2).bfloat16(), "b": torch.rand(1, 1, 2, 2).half()}
    Term(loss, TapPair(("a", "b"), ("b", "a")), adapter, WeightSchedule(1.0), "none")(halves, halves, None)
    assert {x.dtype for x in (*loss.student, *loss.teacher)} == {torch.float32}
    torch.testing.assert_close(loss.student, (halves["a"].float(), halves["b"].float()), rtol=0, atol=0)


def test_resizing_levels_to_labels() -> None:
    loss, (student_features, teacher_features) = Levels(), pyramid()
    for side in (student_features, teacher_features):
        side.update({name: tensor[:, :1] for name, tensor in side.items()})
    term = Term(loss, PYRAMID, nn.Identity(), WeightSchedule(1.0), "label")
    term(student_features, teacher_features, torch.zeros(2, 12, 14, dtype=torch.int64))
    assert {tuple(x.shape) for x in (*loss.student, *loss.teacher)} == {(2, 1, 12, 14)}


def test_paths_of_a_tap() -> None:
    assert paths("features.3") == ("features.3",)
    assert paths(("aux", "logits")) == ("aux", "logits")


def test_where_warm_up_and_decay_overlap_the_decay_holds() -> None:
    """SegDistill computes the warm-up first, then the early decay from the full value."""
    schedule = WeightSchedule(3.0, warmup=100, decay=(50, 150))
    assert schedule(50) == 1.5
    assert schedule(60) == 3 * 0.9
    assert schedule(150) == 0


def test_a_term_with_defaults_compares_the_logits() -> None:
    term = Term(MetricsLogger(), weight=3)
    assert term.taps == TapPair("logits", "logits")
    assert term.weight == WeightSchedule(3.0)
    assert isinstance(term.adapter, nn.Identity)
    assert term.resize == "none"
    assert Term(MetricsLogger(), "features.1").taps == TapPair("features.1", "features.1")
    assert Term(MetricsLogger(), (("a", "b"), ("c", "d"))).taps == TapPair(("a", "b"), ("c", "d"))
