"""Adapters from the golden cases of mgd, dist, pkd, fbkd, dkd, wsld, l1 and l2 to our losses."""

from collections.abc import Callable, Mapping
from typing import Any
from unittest import mock

import torch
from golden_cases import Case, Method, Outputs, Probe
from torch import Tensor, nn

from densekd.losses import mgd as mgd_module
from densekd.losses.dist import DIST
from densekd.losses.dkd import DKD
from densekd.losses.fbkd import View, distance
from densekd.losses.l1 import L1
from densekd.losses.l2 import L2
from densekd.losses.mgd import MGD
from densekd.losses.pkd import PKD
from densekd.losses.wsld import WSLD

VOID = 255


class Drawn(nn.Module):
    """MGD with the numbers that the original drew."""

    def __init__(self, loss: MGD, numbers: Tensor) -> None:
        super().__init__()
        self.loss = loss
        self.numbers = numbers

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        def random_sample(size: tuple[int, ...], like: Tensor) -> Tensor:
            assert self.numbers.shape == size
            return self.numbers

        with mock.patch.object(mgd_module, "random_sample", random_sample):
            return self.loss(student, teacher, target)  # type: ignore[no-any-return]


class Levels(nn.Module):
    """The sum over levels, for which we use one term each."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(
        self, student: Tensor | tuple[Tensor, ...], teacher: Tensor | tuple[Tensor, ...], target: Tensor | None = None
    ) -> Tensor:
        if isinstance(student, Tensor):
            student, teacher = (student,), (teacher,)  # type: ignore[assignment]
        return torch.stack([self.loss(s, t, target) for s, t in zip(student, teacher, strict=True)]).sum()


class Distance(nn.Module):
    """FBKD after its connectors: the originals' are not in the cases, which give what comes out of them."""

    def __init__(self, weights: tuple[float, ...]) -> None:
        super().__init__()
        self.weights = weights

    def forward(self, student: tuple[Tensor, ...], teacher: tuple[Tensor, ...], target: Tensor | None = None) -> Tensor:
        attention, _unused, channels, positions, relation, feature = student
        student_features = View(attention, channels, positions, relation, feature)
        attention, _unused, positions, relation, feature = teacher
        teacher_features = View(attention, feature.mean((2, 3)), positions, relation, feature)
        return distance(student_features, teacher_features, self.weights)


def mgd(
    case: Case,
    student_channels: int,
    teacher_channels: int,
    lambda_mgd: float,
    mask_on_channel: bool,
    alpha_mgd: float,
) -> Outputs:
    loss = MGD(student_channels, teacher_channels, lambda_mgd, "channel" if mask_on_channel else "position")
    prefix = "connector." if any(name.startswith("connector.") for name in case.entry["weights"]) else ""
    loss.to(case.dtype).load_state_dict(case.weights(prefix))
    parameters = {prefix + name: parameter for name, parameter in loss.named_parameters()}
    (key,) = case.entry["rand"]["keys"]
    probe = Probe(
        Drawn(loss, case.read(key)), case.student, case.teacher, None, factor=alpha_mgd, parameters=parameters
    )
    return {"loss": probe}


def dist_mmrazor(
    case: Case, inter_loss_weight: float, intra_loss_weight: float, tau: float, loss_weight: float, input: str
) -> Outputs:
    rows: Any = {"N,C,H,W": "images", "flattened": "positions"}[input]
    loss = DIST(tau, inter_loss_weight, intra_loss_weight, "softmax", rows)
    return {"loss": Probe(loss, case.student, case.teacher, factor=loss_weight)}


def dist_hwd_repo(case: Case, beta: float, gamma: float) -> Outputs:
    return {"loss": Probe(DIST(1.0, beta, gamma, "none"), case.student, case.teacher)}


def pkd_mmrazor(case: Case, loss_weight: float, resize_stu: bool) -> Outputs:
    loss = Levels(PKD("student" if resize_stu else "teacher"))
    return {"loss": Probe(loss, case.student, case.teacher, factor=loss_weight)}


def fbkd_mmrazor(
    case: Case,
    mask_l2_weight: float = 7e-5,
    channel_weight: float = 4e-3,
    spatial_weight: float = 4e-3,
    nonloacl_weight: float = 7e-5,  # the original's spelling
    loss_weight: float = 1.0,
) -> Outputs:
    loss = Distance((mask_l2_weight, channel_weight, spatial_weight, nonloacl_weight))
    return {"loss": Probe(loss, case.student, case.teacher, factor=loss_weight)}


def dkd_mmrazor(case: Case, tau: float, alpha: float, beta: float, reduction: str, loss_weight: float) -> Outputs:
    # The original's mean and none are its sum; size_average=False overrides them.
    ours: Any = {"batchmean": "pixel", "sum": "sum", "mean": "sum", "none": "sum"}[reduction]
    loss = DKD(VOID, tau, alpha, beta, ours)
    return {"loss": Probe(loss, case.student, case.teacher, _labels(case), factor=loss_weight)}


def wsld_mmrazor(case: Case, tau: float, loss_weight: float, num_classes: int) -> Outputs:
    assert case.student.shape[1] == num_classes
    return {"loss": Probe(WSLD(VOID, tau), case.student, case.teacher, _labels(case), factor=loss_weight)}


def l1_mmrazor(case: Case, loss_weight: float, reduction: str) -> Outputs:
    ours: Any = {"mean": "element", "sum": "sum", "none": "sum"}[reduction]
    name = "sum" if reduction == "none" else "loss"
    return {name: Probe(L1(ours), case.student, case.teacher, factor=loss_weight)}


def l2_mmrazor(case: Case, normalize: bool, loss_weight: float, mult: float, div_element: bool, dist: bool) -> Outputs:
    loss = L2("sample" if normalize else "none", mult, "distance" if dist else "element" if div_element else "batch")
    return {"loss": Probe(loss, case.student, case.teacher, factor=loss_weight)}


METHODS: dict[str, Method] = {
    "mgd": mgd,
    "dist.mmrazor": dist_mmrazor,
    "dist.hwd_repo": dist_hwd_repo,
    "pkd.mmrazor": pkd_mmrazor,
    "fbkd.mmrazor": fbkd_mmrazor,
    "dkd.mmrazor": dkd_mmrazor,
    "wsld.mmrazor": wsld_mmrazor,
    "l1.mmrazor": l1_mmrazor,
    "l2.mmrazor": l2_mmrazor,
}

REFUSED: dict[str, Callable[[Mapping[str, Any]], bool]] = {}

# Outputs that describe an unreduced tensor, which a loss of ours never returns.
DOCUMENTED_OUTPUTS: dict[str, set[str]] = {"l1.mmrazor": {"weighted"}}


def _labels(case: Case) -> Tensor:
    B, _, H, W = case.student.shape
    return case.inputs["labels"].view(B, H, W)
