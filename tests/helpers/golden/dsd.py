"""Golden cases of ``dsd``, ``dsd.csd`` and ``dsd.psd``."""

from golden_cases import Case, Method, Outputs, Probe

from densekd.losses.dsd import CSD, PSD


def dsd_psd(case: Case, features: int) -> Outputs:
    assert len(case.student) == len(case.teacher) == features
    return {"loss": Probe(PSD(), case.student, case.teacher)}


def dsd_csd(case: Case, tau: float) -> Outputs:
    return {"loss": Probe(CSD(tau), case.student, case.teacher)}


def dsd(case: Case) -> Outputs:
    return {
        "psd": Probe(PSD(), case.student, case.teacher),
        "csd": Probe(CSD(), case.student[-1], case.teacher[-1]),
    }


METHODS: dict[str, Method] = {"dsd.psd": dsd_psd, "dsd.csd": dsd_csd, "dsd": dsd}
