"""Golden cases of ``l2``."""

from golden_cases import Case, Method, Outputs, Probe

from densekd.losses.l2 import L2


def l2_mmrazor(case: Case, normalize: bool, loss_weight: float, mult: float, div_element: bool, dist: bool) -> Outputs:
    loss = L2("sample" if normalize else "none", mult, "distance" if dist else "element" if div_element else "batch")
    return {"loss": Probe(loss, case.student, case.teacher, factor=loss_weight)}


METHODS: dict[str, Method] = {"l2.mmrazor": l2_mmrazor}
