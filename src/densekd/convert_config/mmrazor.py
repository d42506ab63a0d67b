"""MMRazor: who teaches whom, and the distillation losses of its two generations."""

from collections.abc import Iterator, Mapping

from densekd.convert_config.job import Job
from densekd.convert_config.razor_losses import CONNECTORS, loss_term
from densekd.convert_config.settings import Settings
from densekd.convert_config.taps import every_level, join_levels, tap_of
from densekd.presets.parts import Content

_WEIGHTED = ("ConfigurableDistiller", "SingleTeacherDistiller")
_STUDENT_ARGUMENTS = ("preds_S", "s_feature", "s_input", "s_feats")
_TEACHER_ARGUMENTS = ("preds_T", "t_feature", "t_input", "t_feats")


def modern_terms(job: Job, model: Settings) -> list[Content]:
    """Return the terms of ``ConfigurableDistiller`` (MMRazor 1.x)."""
    distiller = model.at("distiller")
    distiller.ignore("type")
    terms: list[Content] = []
    for name, loss in distiller.at("distill_losses").named():
        mapping = distiller.at("loss_forward_mappings", name)
        arguments = dict(mapping.named())
        student = _recorded(distiller, arguments, _STUDENT_ARGUMENTS, "student_recorders")
        teacher = _recorded(distiller, arguments, _TEACHER_ARGUMENTS, "teacher_recorders")
        mapping.get()
        if student is None or teacher is None:
            loss.get()
            job.report.leave(f"the loss {name} ({loss.peek('type')}): what it compares has no name here")
            continue
        entry = loss_term(job, name, loss, _connector(distiller, arguments, job))
        if entry is not None:
            terms.append(_tapped(entry, student, teacher))
    for part in ("student_recorders", "teacher_recorders", "loss_forward_mappings"):
        distiller.get(part)
    return join_levels(terms)


def _recorded(
    distiller: Settings,
    arguments: Mapping[str, Settings],
    names: tuple[str, ...],
    recorders: str,
) -> str | None:
    """Return the tap of what a loss is given, or None."""
    for name in names:
        argument = arguments.get(name)
        if argument is None:
            continue
        # An argument called preds_S may still be the teacher's.
        from_student = argument.peek("from_student")
        expected = recorders == "student_recorders"
        if from_student is not None and from_student != expected:
            return None
        recorder = distiller.peek(recorders, argument.peek("recorder")) or {}
        if recorder.get("type") != "ModuleOutputs":
            return None
        return tap_of(str(recorder.get("source")), argument.peek("record_idx"), argument.peek("data_idx"))
    return None


def _connector(distiller: Settings, arguments: Mapping[str, Settings], job: Job) -> Settings | None:
    """Return the student's connector of a loss."""
    found: Settings | None = None
    for name, argument in arguments.items():
        connector = argument.peek("connector")
        if connector is None:
            continue
        settings = distiller.at("connectors", connector)
        kind = settings.peek("type")
        if name in _STUDENT_ARGUMENTS:
            found = settings
        elif kind not in CONNECTORS:
            settings.get()
            job.report.leave(f"the teacher's connector {connector} ({kind})")
        else:
            settings.get()
    return found


def _tapped(entry: Content, student: str, teacher: str) -> Content:
    """Add taps to a term; logits, which are the default, are not written."""
    for key, tap in (("student", student), ("teacher", teacher)):
        if tap != "logits":
            entry[key] = tap
    return entry


def old_terms(job: Job, components: Settings) -> list[Content]:
    """Return the terms of ``SingleTeacherDistiller`` (MMRazor 0.x).

    A convolution that a head runs on all levels is compared on all of them, and the losses are added.
    """
    terms: list[Content] = []
    for component in components.items():
        names = [str(component.get(f"{role}_module")) for role in ("student", "teacher")]
        taps = [every_level(name) or tap_of(name) for name in names]
        for loss in _losses(component):
            name = str(loss.get("name", default=loss.peek("type")))
            entry = None if None in taps else loss_term(job, name, loss, None)
            if entry is None:
                loss.get()
                if None in taps:
                    job.report.leave(f"the loss {name} on {names[0]}: the module has no name here")
                continue
            terms.append(_tapped(entry, str(taps[0]), str(taps[1])))
    return join_levels(terms)


def _losses(component: Settings) -> Iterator[Settings]:
    yield from component.at("losses").items()


def checkpoint_of(model: Settings) -> str | None:
    """Return the weights of a model that is initialized as a whole."""
    found = model.get("init_cfg", "checkpoint")
    model.ignore_entries("init_cfg", "type", "prefix")
    return found if isinstance(found, str) else None
