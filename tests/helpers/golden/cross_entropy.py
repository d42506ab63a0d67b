"""Golden cases of the segmentation task's own loss: cross-entropy of main and auxiliary logits."""

from collections.abc import Mapping

import torch
from golden_cases import Case, Method, Outputs, Probe
from torch import Tensor, nn

from densekd.tasks import Segmentation


class TaskLoss(nn.Module):
    """The summands of the task's loss, of main logits (student) and auxiliary logits (teacher)."""

    def __init__(self, task: Segmentation, align_corners: bool, weights: Mapping[str, float]) -> None:
        super().__init__()
        self.task = task
        self.align_corners = align_corners
        self.weights = weights

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor) -> Tensor:
        losses = self.task.losses(self, student, {"aux": teacher}, target)
        return torch.stack([weight * losses[name] for name, weight in self.weights.items()]).sum()


def seg_ce_torchdistiller(case: Case, ignore_index: int, aux_weight: float, align_corners: bool) -> Outputs:
    return {"loss": _task_loss(case, _task(case, ignore_index, aux_weight), align_corners, {"ce": 1, "aux": 1})}


def seg_ce_cirkd(case: Case, ignore_index: int, aux_weight: float, align_corners: bool) -> Outputs:
    summands = {"main": {"ce": 1.0}, "total": {"ce": 1.0, "aux": 1.0}}
    task = _task(case, ignore_index, aux_weight)
    return {name: _task_loss(case, task, align_corners, weights) for name, weights in summands.items()}


def seg_ce_mmseg(
    case: Case,
    ignore_index: int,
    align_corners: bool,
    loss_weight_main: float,
    loss_weight_aux: float,
    class_weight: list[float] | None,
) -> Outputs:
    C = case.student.shape[1]
    task = Segmentation(C, ignore_index, "none", loss_weight_aux, "all")
    if class_weight is not None:
        # In the precision of the case, where a recipe's weights are float32.
        task.class_weights = torch.tensor(class_weight, dtype=case.dtype)
    main, aux = {"ce": loss_weight_main}, {"aux": 1.0}
    summands = {"main": main, "aux": aux, "total": main | aux}
    return {name: _task_loss(case, task, align_corners, summand) for name, summand in summands.items()}


def _task(case: Case, ignore_index: int, aux_weight: float) -> Segmentation:
    return Segmentation(case.student.shape[1], ignore_index, auxiliary_weight=aux_weight)


def _task_loss(case: Case, task: Segmentation, align_corners: bool, weights: Mapping[str, float]) -> Probe:
    module = TaskLoss(task, align_corners, weights)
    return Probe(module, case.student, case.inputs["student_aux"], case.inputs["labels"])


METHODS: dict[str, Method] = {
    "seg_ce.torchdistiller": seg_ce_torchdistiller,
    "seg_ce.cirkd": seg_ce_cirkd,
    "seg_ce.mmseg": seg_ce_mmseg,
}
