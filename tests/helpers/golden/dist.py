"""Golden cases of ``dist``."""

from typing import Any

from golden_cases import Case, Method, Outputs, Probe

from densekd.losses.dist import DIST


def dist_mmrazor(
    case: Case, inter_loss_weight: float, intra_loss_weight: float, tau: float, loss_weight: float, input: str
) -> Outputs:
    rows: Any = {"N,C,H,W": "images", "flattened": "positions"}[input]
    loss = DIST(tau, inter_loss_weight, intra_loss_weight, "softmax", rows)
    return {"loss": Probe(loss, case.student, case.teacher, factor=loss_weight)}


def dist_hwd_repo(case: Case, beta: float, gamma: float) -> Outputs:
    return {"loss": Probe(DIST(1.0, beta, gamma, "none"), case.student, case.teacher)}


METHODS: dict[str, Method] = {"dist.mmrazor": dist_mmrazor, "dist.hwd_repo": dist_hwd_repo}
