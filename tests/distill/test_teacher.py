"""A frozen teacher stays as it is, whatever happens around it, and runs no more than it must."""

import pytest
import torch
from torch import Tensor, nn

from densekd.distill.teacher import FrozenTeacher
from densekd.errors import RecipeError

IMAGES = torch.rand(2, 3, 6, 7)


class Parent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.student = nn.Conv2d(3, 2, 1)
        self.teacher = FrozenTeacher(
            nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5)), ["1", "logits"]
        )


def test_frozen_stays_in_evaluation_mode() -> None:
    parent = Parent()
    before = {key: value.clone() for key, value in parent.teacher.model.state_dict().items()}
    for mode in (True, False, True):
        parent.train(mode)
        first, second = (parent.teacher(IMAGES) for _ in range(2))
        torch.testing.assert_close(first["logits"], second["logits"], rtol=0, atol=0)
    assert parent.student.training
    assert not any(module.training for module in parent.teacher.modules())
    after = parent.teacher.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert after["1.num_batches_tracked"].item() == 0


def test_frozen_gives_no_gradient() -> None:
    parent = Parent()
    images = IMAGES.clone().requires_grad_()
    teacher_features = parent.teacher(images)
    assert set(teacher_features) == {"1", "logits"}
    assert not any(tensor.requires_grad for tensor in teacher_features.values())
    assert [name for name, p in parent.named_parameters() if p.requires_grad] == ["student.weight", "student.bias"]


def test_frozen_tensors_may_enter_a_loss() -> None:
    parent = Parent()
    teacher_features = parent.teacher(IMAGES)["logits"][:, :2]
    (parent.student(IMAGES) * teacher_features).sum().backward()
    assert parent.student.weight.grad is not None
    assert parent.student.weight.grad.abs().sum().item() > 0


def test_frozen_is_absent_from_checkpoints() -> None:
    parent, other = Parent(), Parent()
    state = parent.state_dict()
    assert list(state) == ["student.weight", "student.bias"]
    teacher = {key: value.clone() for key, value in other.teacher.model.state_dict().items()}
    result = other.load_state_dict(state, strict=True)
    assert (result.missing_keys, result.unexpected_keys) == ([], [])
    torch.testing.assert_close(other.student.weight, parent.student.weight, rtol=0, atol=0)
    assert all(torch.equal(value, teacher[key]) for key, value in other.teacher.model.state_dict().items())
    assert not torch.equal(other.teacher.model[0].weight, parent.teacher.model[0].weight)
    assert list(state) == ["student.weight", "student.bias"]
    with pytest.raises(RuntimeError, match=r"Missing key.*student\.bias"):
        other.load_state_dict({"student.weight": state["student.weight"]})


class Shared(nn.Module):
    """A convolution that runs three times, and one behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 3, 1)
        self.behind = nn.Conv2d(3, 2, 1)
        self.runs: list[str] = []
        self.head.register_forward_pre_hook(lambda *_: self.runs.append("head"))
        self.behind.register_forward_pre_hook(lambda *_: self.runs.append("behind"))

    def forward(self, x: Tensor) -> Tensor:
        """Run the head on its own output, then what lies behind."""
        for _ in range(3):
            x = self.head(x)
        logits: Tensor = self.behind(x)
        return logits


@pytest.mark.parametrize(
    ("paths", "runs"),
    [
        (["head@0"], ["head"]),
        (["head@1", "head@0"], ["head"] * 2),
        (["head@2"], ["head"] * 3),
        (["head@0", "logits"], ["head"] * 3 + ["behind"]),
        (["behind"], ["head"] * 3 + ["behind"]),
    ],
)
def test_nothing_behind_the_deepest_tap_is_run(paths: list[str], runs: list[str]) -> None:
    model = Shared()
    teacher = FrozenTeacher(model, paths)
    whole = teacher(IMAGES)
    model.runs.clear()
    again = teacher(IMAGES)
    assert model.runs == runs
    assert list(again) == paths
    assert all(torch.equal(again[path], whole[path]) for path in paths)


def test_several_runs_are_found_though_the_first_would_do() -> None:
    with pytest.raises(RecipeError, match=r"fired 3 times.*choose one of head@0, head@1, head@2"):
        FrozenTeacher(Shared(), ["head"])(IMAGES)


def test_precision_is_the_teachers_own() -> None:
    model = nn.Conv2d(3, 4, 1)
    own, other = FrozenTeacher(model, ["logits"], "bf16"), FrozenTeacher(model, ["logits"], "32")
    assert own(IMAGES)["logits"].dtype == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        assert other(IMAGES)["logits"].dtype == torch.float32
        assert FrozenTeacher(model, ["logits"])(IMAGES)["logits"].dtype == torch.bfloat16
    assert FrozenTeacher(model, ["logits"])(IMAGES)["logits"].dtype == torch.float32
    torch.testing.assert_close(own(IMAGES)["logits"].float(), other(IMAGES)["logits"], rtol=2e-2, atol=1e-2)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")  # torch's own, on first use
def test_compiled_it_teaches_the_same() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 2, 1))
    compiled, eager = FrozenTeacher(model, ["0", "2"], compile="inductor"), FrozenTeacher(model, ["0", "2"])
    for seed in range(3):
        images = torch.rand(2, 3, 6, 7, generator=torch.Generator().manual_seed(seed))
        teacher_features, expected = compiled(images), eager(images)
        assert list(teacher_features) == ["0", "2"]
        for path, x in teacher_features.items():
            torch.testing.assert_close(x, expected[path], rtol=1e-5, atol=1e-6)
