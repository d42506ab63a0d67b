"""Golden cases of ``wsld``."""

from golden_cases import Case, Method, Outputs, Probe

from densekd.losses.wsld import WSLD

VOID = 255


def wsld_mmrazor(case: Case, tau: float, loss_weight: float, num_classes: int) -> Outputs:
    assert case.student.shape[1] == num_classes
    loss = WSLD(VOID, tau)
    return {"loss": Probe(loss, case.student, case.teacher, case.labels_as_map(), factor=loss_weight)}


METHODS: dict[str, Method] = {"wsld.mmrazor": wsld_mmrazor}
