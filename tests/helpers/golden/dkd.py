"""Golden cases of ``dkd``."""

from typing import Any

from golden_cases import Case, Method, Outputs, Probe

from densekd.losses.dkd import DKD

VOID = 255


def dkd_mmrazor(case: Case, tau: float, alpha: float, beta: float, reduction: str, loss_weight: float) -> Outputs:
    # The original's mean and none are its sum; size_average=False overrides them.
    ours: Any = {"batchmean": "pixel", "sum": "sum", "mean": "sum", "none": "sum"}[reduction]
    loss = DKD(VOID, tau, alpha, beta, ours)
    return {"loss": Probe(loss, case.student, case.teacher, case.labels_as_map(), factor=loss_weight)}


METHODS: dict[str, Method] = {"dkd.mmrazor": dkd_mmrazor}
