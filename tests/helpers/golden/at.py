"""Golden cases of ``at``."""

from golden_cases import Case, Method, Outputs, Probe, Sum

from densekd.losses.at import AT
from densekd.losses.pixel import Pixel

VOID = 255


def at(case: Case, loss_weight: float = 1.0) -> Outputs:
    return {"loss": Probe(AT(), case.student, case.teacher, factor=loss_weight)}


def segdistill_at(case: Case, n_iter: int) -> Outputs:
    # Two terms: the mean activation, and the divergence at temperature 1 per pixel. Nothing depends on the iteration.
    return {"loss": Probe(Sum((1.0, AT("mean")), (1.0, Pixel(VOID))), case.student, case.teacher)}


METHODS: dict[str, Method] = {"at": at, "segdistill.at": segdistill_at}
