"""Golden cases of ``pixel``: divergences and cross-entropies at every position."""

from typing import Any

import torch.nn.functional as F
from golden_cases import Case, Method, Outputs, Probe

from densekd.losses.pixel import Pixel

VOID = 255


def pixel_kd_torchdistiller(case: Case, temperature: float, upsample: bool) -> Outputs:
    student, teacher = case.student, case.teacher
    if upsample:
        student, teacher = (
            F.interpolate(x, scale_factor=8, mode="bilinear", align_corners=True) for x in (student, teacher)
        )
    return {"loss": Probe(Pixel(VOID, temperature, "element", "none"), student, teacher)}


def pixel_kd_cirkd(case: Case, temperature: float) -> Outputs:
    return {"loss": Probe(Pixel(VOID, temperature), case.student, case.teacher)}


def kl_mmrazor(case: Case, tau: float, reduction: str, loss_weight: float) -> Outputs:
    ours: Any = {"batchmean": "batch", "sum": "sum", "mean": "element", "none": "sum"}[reduction]
    name = "sum" if reduction == "none" else "loss"
    return {name: Probe(Pixel(VOID, tau, ours), case.student, case.teacher, factor=loss_weight)}


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


METHODS: dict[str, Method] = {
    "pixel_kd.torchdistiller": pixel_kd_torchdistiller,
    "pixel_kd.cirkd": pixel_kd_cirkd,
    "kl.mmrazor": kl_mmrazor,
    "soft_ce.mmrazor": soft_ce_mmrazor,
    "hard_ce.mmrazor": hard_ce_mmrazor,
}

DOCUMENTED_OUTPUTS = {"kl.mmrazor": {"weighted"}, "soft_ce.mmrazor": {"weighted"}}
