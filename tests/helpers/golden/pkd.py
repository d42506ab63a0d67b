"""Golden cases of ``pkd``."""

import torch
from golden_cases import Case, Method, Outputs, Probe
from torch import Tensor, nn

from densekd.losses.pkd import PKD

Maps = Tensor | tuple[Tensor, ...]


class SumOverLevels(nn.Module):
    """The sum over levels, for which we use one term each."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, student: Maps, teacher: Maps, target: Tensor | None = None) -> Tensor:
        if isinstance(student, Tensor):
            student, teacher = (student,), (teacher,)  # type: ignore[assignment]
        return torch.stack([self.loss(s, t, target) for s, t in zip(student, teacher, strict=True)]).sum()


def pkd_mmrazor(case: Case, loss_weight: float, resize_stu: bool) -> Outputs:
    loss = SumOverLevels(PKD("student" if resize_stu else "teacher"))
    return {"loss": Probe(loss, case.student, case.teacher, factor=loss_weight)}


METHODS: dict[str, Method] = {"pkd.mmrazor": pkd_mmrazor}
