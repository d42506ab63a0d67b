"""Golden cases of the methods that compare features: attention, hints, similarities, class centers.

One function per method: it takes a case and the original's hyper-parameters by name and says what they are here.
"""

import torch.nn.functional as F
from golden_cases import Case, Method, Outputs, Probe
from torch import Tensor, nn

from densekd.distill.terms import make_adapter
from densekd.losses.at import AT
from densekd.losses.dsd import CSD, PSD
from densekd.losses.fitnet import FitNet
from densekd.losses.ifvd import IFVD
from densekd.losses.pairwise import Pairwise
from densekd.losses.pixel import Pixel

VOID = 255
NO_LABEL = -1


class Sum(nn.Module):
    """Several terms on the same tensors, as a recipe would list them."""

    def __init__(self, *terms: tuple[float, nn.Module]) -> None:
        super().__init__()
        self.weights = [weight for weight, _ in terms]
        self.losses = nn.ModuleList(loss for _, loss in terms)

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None) -> Tensor:
        values = [w * loss(student, teacher, target) for w, loss in zip(self.weights, self.losses, strict=True)]
        return sum(values[1:], values[0])


def at(case: Case, loss_weight: float = 1.0) -> Outputs:
    return {"loss": Probe(AT(), case.student, case.teacher, factor=loss_weight)}


def segdistill_at(case: Case, n_iter: int) -> Outputs:
    # Two terms: the mean activation, and the divergence at temperature 1 per pixel. Nothing depends on the iteration.
    return {"loss": Probe(Sum((1.0, AT("mean")), (1.0, Pixel(VOID))), case.student, case.teacher)}


def fitnet(case: Case, s_channels: int, t_channels: int) -> Outputs:
    adapter = make_adapter("conv", s_channels, t_channels).to(case.dtype)
    adapter.load_state_dict(case.weights("conv."))
    parameters = {"conv.weight": adapter.get_parameter("weight")}
    return {"loss": Probe(FitNet(), adapter(case.student), case.teacher, parameters=parameters)}


def skd_pairwise(case: Case) -> Outputs:
    return {"loss": Probe(Pairwise(), case.student, case.teacher)}


def ifvd(case: Case, classes: int, ignore_index: int = VOID) -> Outputs:
    # The originals never look at the void label; pixels are void when they lie outside the classes.
    return {"loss": Probe(IFVD(classes, NO_LABEL), case.student, case.teacher, case.inputs["labels"])}


def segdistill_ifvd(case: Case, n_iter: int) -> Outputs:
    # On logits, so there are as many classes as channels; the teacher comes to the student's size (resize: student).
    size = case.student.shape[-2:]
    teacher = F.interpolate(case.teacher, size=size, mode="bilinear", align_corners=False)
    terms = Sum((10.0, IFVD(case.student.shape[1], VOID)), (1.0, Pixel(VOID)))
    return {"loss": Probe(terms, case.student, teacher, case.inputs["labels"][:, 0])}


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


METHODS: dict[str, Method] = {
    "at": at,
    "segdistill.at": segdistill_at,
    "fitnet": fitnet,
    "skd_pairwise": skd_pairwise,
    "ifvd": ifvd,
    "segdistill.ifvd": segdistill_ifvd,
    "dsd.psd": dsd_psd,
    "dsd.csd": dsd_csd,
    "dsd": dsd,
}
