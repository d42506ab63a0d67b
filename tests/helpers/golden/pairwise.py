"""Golden cases of ``pairwise``."""

from golden_cases import Case, Method, Outputs, Probe

from densekd.losses.pairwise import Pairwise


def skd_pairwise(case: Case) -> Outputs:
    return {"loss": Probe(Pairwise(), case.student, case.teacher)}


METHODS: dict[str, Method] = {"skd_pairwise": skd_pairwise}
