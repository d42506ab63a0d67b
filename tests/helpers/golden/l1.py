"""Golden cases of ``l1``."""

from typing import Any

from golden_cases import Case, Method, Outputs, Probe

from densekd.losses.l1 import L1


def l1_mmrazor(case: Case, loss_weight: float, reduction: str) -> Outputs:
    ours: Any = {"mean": "element", "sum": "sum", "none": "sum"}[reduction]
    name = "sum" if reduction == "none" else "loss"
    return {name: Probe(L1(ours), case.student, case.teacher, factor=loss_weight)}


METHODS: dict[str, Method] = {"l1.mmrazor": l1_mmrazor}

DOCUMENTED_OUTPUTS = {"l1.mmrazor": {"weighted"}}
