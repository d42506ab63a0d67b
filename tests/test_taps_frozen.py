"""A frozen teacher stays as it is, whatever happens around it."""

import pytest
import torch
from torch import nn

from densekd.taps import Frozen

IMAGES = torch.rand(2, 3, 6, 7)


class Parent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.student = nn.Conv2d(3, 2, 1)
        self.teacher = Frozen(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5)), ["1", "logits"])


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
    taught = parent.teacher(images)
    assert set(taught) == {"1", "logits"}
    assert not any(tensor.requires_grad for tensor in taught.values())
    assert [name for name, p in parent.named_parameters() if p.requires_grad] == ["student.weight", "student.bias"]


def test_frozen_tensors_may_enter_a_loss() -> None:
    parent = Parent()
    taught = parent.teacher(IMAGES)["logits"][:, :2]
    (parent.student(IMAGES) * taught).sum().backward()
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
