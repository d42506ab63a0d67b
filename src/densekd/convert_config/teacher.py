"""Teacher of an OpenMMLab configuration, and hooks that stop the distillation."""

from typing import Any

from densekd.convert_config.job import Job
from densekd.convert_config.mmdet import DETECTORS, detection_model
from densekd.convert_config.mmseg import segmentation_model
from densekd.convert_config.published import weights_of
from densekd.convert_config.report import Report
from densekd.convert_config.settings import Settings
from densekd.presets.parts import Content

_WITHOUT_WEIGHTS = "checkpoints/teacher.pth"


def teacher_section(job: Job, teacher: Settings, checkpoint: Any, system: str) -> Content:
    """Return the section ``teacher``: a file tells its own architecture.

    Args:
        job: the configuration.
        teacher: its model.
        checkpoint: its weights, or None.
        system: whose file that is.
    """
    if isinstance(checkpoint, str):
        weights = weights_of(checkpoint, system, job.report)
        job.report.assume("the teacher's architecture is what its file holds; its dropout is off")
        teacher.get()
        return {"checkpoint": weights}
    kind = str(teacher.peek("backbone", "type"))
    if kind.startswith("mit_b") and system == "nvlabs":
        place = f"checkpoints/nvlabs/segformer.{kind.removeprefix('mit_')}.512x512.ade.160k.pth"
        job.report.assume(f"no weights of the teacher are named, it would be random: the published {place}")
        teacher.get()
        return {"checkpoint": place}
    # The architecture alone is known; a person has to say where the weights are.
    quiet = Job(job.config, Report(job.report.source), job.modern, job.gpus, job.images)
    is_detector = str(teacher.peek("type")).rpartition(".")[2] in DETECTORS
    model = detection_model(quiet, teacher) if is_detector else segmentation_model(quiet, teacher)
    teacher.get()
    job.report.leave(
        f"the teacher's weights: none are named; put them at {_WITHOUT_WEIGHTS} or write teacher.checkpoint"
    )
    options = {key: value for key, value in model["options"].items() if key != "freeze"}
    return {"model": model["model"], "options": options, "checkpoint": _WITHOUT_WEIGHTS}


def stop_distillation(job: Job, terms: list[Content], dataset: str, steps: int) -> list[Content]:
    """Return the terms with the end that MMRazor's ``StopDistillHook`` gives them."""
    for hook in job.config.at("custom_hooks").items():
        if str(hook.peek("type")).rpartition(".")[2] != "StopDistillHook":
            continue
        hook.ignore("type")
        batch = int(job.config.peek("train_dataloader", "batch_size") or 2) * job.gpus
        stop = int(hook.get("stop_epoch")) * job.epoch_steps(dataset, batch)
        if stop < steps:
            schedule = {"decay": [stop, steps], "decay_shape": "jump"}
            terms = [term | {"weight": {"value": term["weight"], **schedule}} for term in terms]
    return terms
