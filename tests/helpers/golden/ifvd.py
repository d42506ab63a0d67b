"""Golden cases of ``ifvd``."""

import torch.nn.functional as F
from golden_cases import Case, Method, Outputs, Probe, Sum

from densekd.losses.ifvd import IFVD
from densekd.losses.pixel import Pixel

VOID = 255
NO_LABEL = -1


def ifvd(case: Case, classes: int, ignore_index: int = VOID) -> Outputs:
    # The originals never read the void label; pixels are void when they lie outside the classes.
    return {"loss": Probe(IFVD(classes, NO_LABEL), case.student, case.teacher, case.inputs["labels"])}


def segdistill_ifvd(case: Case, n_iter: int) -> Outputs:
    # On logits, so there are as many classes as channels; the teacher comes to the student's size (resize: student).
    size = case.student.shape[-2:]
    teacher = F.interpolate(case.teacher, size=size, mode="bilinear", align_corners=False)
    terms = Sum((10.0, IFVD(case.student.shape[1], VOID)), (1.0, Pixel(VOID)))
    return {"loss": Probe(terms, case.student, teacher, case.inputs["labels"][:, 0])}


METHODS: dict[str, Method] = {"ifvd": ifvd, "segdistill.ifvd": segdistill_ifvd}
