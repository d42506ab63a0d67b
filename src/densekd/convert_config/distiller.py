"""mmsegmentation-distiller and mmdetection-distiller: terms of their ``distill_cfg``."""

from typing import Any

from densekd.convert_config.job import Job
from densekd.convert_config.razor_losses import loss_term
from densekd.convert_config.settings import Settings
from densekd.convert_config.taps import join_levels, tap_of
from densekd.presets.parts import Content


def distiller_terms(job: Job, distiller: Settings) -> list[Content]:
    """Return the terms of a ``distiller``; a module's last output is compared."""
    distiller.ignore("type", "init_student")
    terms: list[Content] = []
    for entry in distiller.at("distill_cfg").items():
        student, teacher = (tap_of(str(entry.get(f"{role}_module"))) for role in ("student", "teacher"))
        entry.ignore("output_hook")
        for loss in entry.at("methods").items():
            term = _term(job, loss, student, teacher)
            if term is None:
                loss.get()
            else:
                terms.append(term)
    # The original writes the levels of a pyramid from the coarsest to the finest.
    return join_levels(sorted(terms, key=lambda term: str(term.get("student", ""))))


def _term(job: Job, loss: Settings, student: str | None, teacher: str | None) -> Content | None:
    name = str(loss.peek("name") or loss.peek("type"))
    if student is None or teacher is None:
        job.report.leave(f"the loss {name}: the module that it compares has no name here")
        return None
    widths = loss.peek("student_channels"), loss.peek("teacher_channels")
    term = loss_term(job, name, loss, None)
    if term is None:
        return None
    if widths[0] != widths[1]:
        _adapt(job, term, widths)
    for key, tap in (("student", student), ("teacher", teacher)):
        if tap != "logits":
            term[key] = tap
    return term


def _adapt(job: Job, term: Content, widths: tuple[Any, Any]) -> None:
    """Add the original's 1x1 convolution, and the factor that its divisor makes."""
    term["adapter"] = {"name": "conv", "options": {"bias": True}}
    if term["method"] == "cwd" and all(isinstance(width, int) and width for width in widths):
        factor = widths[1] / widths[0]
        term["weight"] *= factor
        job.report.assume(
            f"the weight of CWD is multiplied by {factor:g}: the original divides by the student's {widths[0]} "
            f"channels, of which its convolution makes the teacher's {widths[1]}"
        )
