"""Golden cases of the methods on logits and of the task's own loss.

One function per method: it takes a case and the original's hyper-parameters by name and says what they are here.
"""

from collections.abc import Callable, Mapping
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from golden_cases import Case, Method, Outputs, Probe
from torch import Tensor, nn

from densekd.distill.terms import TapPair, Term, WeightSchedule
from densekd.losses.cgd import CGD
from densekd.losses.hwd import HWD
from densekd.losses.pixel import Pixel
from densekd.tasks import Segmentation

VOID = 255
Config = Mapping[str, Any]
PUBLISHED_RESIZE = {"mode": "bilinear", "align_corners": False}
SHAPES: dict[str, Any] = {"linear": "linear", "exp": "exponential", "jump": "jump"}


class Recorded(nn.Module):
    """A term under the permutations that the original drew, in call order."""

    def __init__(self, term: Term, permutations: list[Tensor]) -> None:
        super().__init__()
        self.term = term
        self.permutations = permutations

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None) -> Tensor:
        drawn = iter(self.permutations)

        def randperm(n: int, device: torch.device) -> Tensor:
            # Ours is drawn in every call, also where the interval makes nothing of it.
            return next(drawn, torch.arange(n)).to(device)

        with mock.patch("torch.randperm", randperm):
            value: Tensor = self.term({"logits": student}, {"logits": teacher}, target)
        assert next(drawn, None) is None
        return value


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


def segdistill_kld(
    case: Case,
    alpha: float = 3.0,
    tau: float = 2.0,
    transform: str | None = None,
    group_size: int | None = None,
    resize: Config | None = None,
    shuffle_interval: int = 0,
    warmup: Config | None = None,
    earlydecay: Config | None = None,
    transform_config: Config | None = None,
    resize_config: Config | None = None,
    shuffle_config: Config | None = None,
    warmup_config: Config | None = None,
    earlydecay_config: Config | None = None,
    n_iter: int = 1,
) -> Outputs:
    options = dict(transform_config or {})
    group_size = options.pop("group_size", group_size)
    transform = options.pop("loss_type", transform) or ("none" if group_size is None else "channel")
    interval = (shuffle_config or {"interval": shuffle_interval})["interval"]
    assert not options
    loss = CGD(tau, _any(transform), group_size or 1, interval, "none")
    loss.calls.fill_(n_iter - 1)
    weight = _schedule(alpha, warmup or warmup_config, earlydecay or earlydecay_config)
    student, teacher, labels = case.student, case.teacher, case.inputs["labels"].squeeze(1)
    resize = resize or resize_config
    if resize is not None and resize != PUBLISHED_RESIZE:
        # A term resizes as all published configurations do.
        student, teacher = (F.interpolate(x, labels.shape[1:], **resize) for x in (student, teacher))
    term = Term(loss, TapPair("logits", "logits"), nn.Identity(), weight, "none" if resize is None else "label")
    return {"loss": Probe(Recorded(term, _permutations(case)), student, teacher, labels, weight(n_iter))}


def hwd(
    case: Case,
    norm: bool = True,
    L: str = "MSE",  # noqa: N803
    process: Any = "E",
    parameter: float = 0.1,
    DivPixel: Any = "None",  # noqa: N803
    shift: float = 0.0,
    activation: bool = False,
) -> Outputs:
    distance: Any = {"MSE": "mse", "L1": "l1", "SMOOTHL1": "smooth_l1", "KL": "kl"}[L]
    division: Any = "none" if DivPixel == "None" else DivPixel
    values: Any = "activations" if activation else "logits"
    # Without normalization the original adds no shift.
    loss = HWD(distance, values, division, shift if norm else None, process, parameter)
    return {"loss": Probe(loss, case.student, case.teacher, case.inputs["labels"])}


def soft_ce_mmrazor(
    case: Case, tau: float = 1.0, reduction: str = "mean", mult_tem_square: bool = True, loss_weight: float = 1.0
) -> Outputs:
    ours: Any = {"mean": "pixel", "sum": "sum", "none": "sum"}[reduction]
    loss = Pixel(VOID, tau, ours, "squared" if mult_tem_square else "none", divergence="soft_ce")
    name = "sum" if reduction == "none" else "loss"
    student, teacher = case.student, case.teacher
    if "flattened" not in case.entry.get("call", ""):
        # The original's classes are the last axis, whatever it was given.
        student, teacher = (x.movedim(-1, 1) if x.dim() == 4 else x[:, :, None, None] for x in (student, teacher))
    return {name: Probe(loss, student, teacher, factor=loss_weight)}


def hard_ce_mmrazor(case: Case, loss_weight: float) -> Outputs:
    return {"loss": Probe(Pixel(VOID, divergence="hard_ce"), case.student, case.teacher, factor=loss_weight)}


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


METHODS: dict[str, Method] = {
    "segdistill.kld": segdistill_kld,
    "hwd": hwd,
    "soft_ce.mmrazor": soft_ce_mmrazor,
    "hard_ce.mmrazor": hard_ce_mmrazor,
    "seg_ce.torchdistiller": seg_ce_torchdistiller,
    "seg_ce.cirkd": seg_ce_cirkd,
    "seg_ce.mmseg": seg_ce_mmseg,
}

# The original refuses it too: the divergence of logits that are no distributions.
REFUSED: dict[str, Callable[[Mapping[str, Any]], bool]] = {"hwd": lambda h: h.get("L") == "KL" and not h["activation"]}

# Outputs that describe an unreduced tensor, which a loss of ours never returns.
DOCUMENTED_OUTPUTS = {"soft_ce.mmrazor": {"weighted"}}


def _schedule(alpha: float, warmup: Config | None, decay: Config | None) -> WeightSchedule:
    warmup = warmup or {"warmup_iters": 0, "mode": "linear"}
    span = None if decay is None else (decay["earlydecay_start"], decay["earlydecay_end"])
    shapes = SHAPES[warmup["mode"]], SHAPES["linear" if decay is None else decay["mode"]]
    return WeightSchedule(alpha, warmup["warmup_iters"], shapes[0], span, shapes[1])


def _permutations(case: Case) -> list[Tensor]:
    drawn = case.entry.get("randperm")
    if drawn is None:
        return []
    return list(case.read(drawn["values"]).split(case.read(drawn["lengths"]).tolist()))


def _task(case: Case, ignore_index: int, aux_weight: float) -> Segmentation:
    return Segmentation(case.student.shape[1], ignore_index, auxiliary_weight=aux_weight)


def _task_loss(case: Case, task: Segmentation, align_corners: bool, weights: Mapping[str, float]) -> Probe:
    module = TaskLoss(task, align_corners, weights)
    return Probe(module, case.student, case.inputs["student_aux"], case.inputs["labels"])


def _any(value: Any) -> Any:
    return value
