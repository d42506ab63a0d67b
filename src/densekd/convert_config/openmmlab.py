"""Configurations of the OpenMMLab family as recipes: read, told apart, and put together."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from densekd.convert_config.distiller import distiller_terms
from densekd.convert_config.job import Job
from densekd.convert_config.known_bases import known_base, known_model
from densekd.convert_config.leftover import report_unread
from densekd.convert_config.mmdet import DETECTORS, detection_data, detection_model
from densekd.convert_config.mmrazor import checkpoint_of, modern_terms, old_terms
from densekd.convert_config.mmseg import segmentation_evaluation, segmentation_model, segmentation_task
from densekd.convert_config.mmseg_data import segmentation_data
from densekd.convert_config.options import apply_options
from densekd.convert_config.published import zoo_weights
from densekd.convert_config.python_config import Config, read_config
from densekd.convert_config.report import Report
from densekd.convert_config.schedule import read_schedule
from densekd.convert_config.segdistill import segdistill_terms
from densekd.convert_config.settings import Settings
from densekd.convert_config.teacher import stop_distillation, teacher_section
from densekd.errors import UserError
from densekd.presets.parts import Content

# Top-level keys of mmengine; train_cfg of mmcv's time is another thing than a loop.
_MODERN = re.compile(
    r"""^["' ]{0,3}(optim_wrapper|param_scheduler|train_dataloader|val_evaluator|default_hooks|val_cfg)\b"""
    r"|^train_cfg\s*=\s*dict\(\s*(type|by_epoch|max_)|mm\w+::",
    re.MULTILINE,
)
_OLD = re.compile(
    r"\b(lr_config|samples_per_gpu|checkpoint_config|optimizer_config|distill_cfg|SDModule|runner)\b|^data\s*=",
    re.MULTILINE,
)
_MODERN_KEYS = {"optim_wrapper", "param_scheduler", "train_dataloader", "default_hooks", "val_evaluator"}
_OLD_KEYS = {"data", "lr_config", "runner", "checkpoint_config", "total_iters", "total_epochs"}
_MODERN_DEVICES = re.compile(r"_(\d+)xb\d+")
_OLD_DEVICES = re.compile(r"_(\d{1,2})x(\d{1,2})_\d+k")
_DISTILLERS = ("SingleTeacherDistill", "FpnTeacherDistill")


@dataclass(frozen=True)
class Pair:
    """Who learns, who teaches, and what is compared.

    Args:
        student: the student's model.
        teacher: the teacher's model, or None.
        checkpoint: the teacher's weights, or None.
        system: whose files the teacher's weights are.
        start: weights that the student as a whole begins with, or None.
    """

    student: Settings
    teacher: Settings | None = None
    checkpoint: str | None = None
    system: str = "mmseg"
    start: str | None = None


def convert_openmmlab(
    path: Path,
    report: Report,
    gpus: int | None = None,
    images: int | None = None,
    options: Sequence[str] = (),
) -> Content:
    """Return the recipe of a configuration, as plain data.

    Args:
        path: of the configuration.
        report: says what was assumed and left.
        gpus: devices, where the file's name does not say it.
        images: of an epoch, where the dataset is not known.
        options: ``key.path=value``, as of ``--cfg-options``.

    Raises:
        UserError: what cannot be read, or has no counterpart.
    """
    config, modern = _read(path)
    for note in config.notes:
        report.assume(note)
    apply_options(config.content, options)
    settings = Settings(config.content)
    job = Job(settings, report, modern, gpus or _devices(path, config), images)
    pair = _pair(job, path)
    content = _detection(job, pair) if _is_detector(pair.student) else _segmentation(job, pair)
    content["name"] = path.stem
    _load_from(job, content, pair.start)
    report_unread(job, config)
    return content


def _read(path: Path) -> tuple[Config, bool]:
    """Read a configuration; also return whether its keys are mmengine's.

    Bases that are not on the disk come in the generation of the text, and again in that of the bases
    which are.
    """
    modern = _is_modern(path)
    config = read_config(path, lambda reference: known_base(reference, modern))
    is_modern, is_old = bool(config.own & _MODERN_KEYS), bool(config.own & _OLD_KEYS)
    if is_modern in (is_old, modern):
        return config, modern
    return read_config(path, lambda reference: known_base(reference, is_modern)), is_modern


def _is_modern(path: Path) -> bool:
    """Whether a configuration has the keys of mmengine."""
    text = ""
    if path.is_file() and path.stat().st_size < 1_000_000:
        text = path.read_text(encoding="utf-8", errors="replace")
    if _MODERN.search(text) or _MODERN_DEVICES.search(path.name):
        return True
    return not (_OLD.search(text) or "algorithm" in text or "distiller" in text or re.search(r"_\d+k_\w", path.name))


def _devices(path: Path, config: Config) -> int:
    """Return the devices that names of files say, else those of the projects' pages."""
    named = [path.stem, *_named_configurations(config.content)]
    for name in named:
        modern, old = _MODERN_DEVICES.search(name), _OLD_DEVICES.search(name)
        if modern:
            return int(modern[1])
        if old:
            return _old_devices(int(old[1]), int(old[2]), config.content)
    model = config.content.get("model")
    segdistill = isinstance(model, dict) and model.get("type") == "SDModule"
    detection = "CocoDataset" in repr(config.content)[:1_000_000]
    return 8 if segdistill or detection else 4


def _old_devices(first: int, second: int, content: Content) -> int:
    """Return which part of ``8x1`` are devices: names were devices x images, and sometimes the reverse."""
    data = content.get("data")
    images = data.get("samples_per_gpu") if isinstance(data, dict) else None
    return second if images == first and images != second else first


def _named_configurations(content: Content) -> list[str]:
    model = content.get("model")
    architecture = model.get("architecture") if isinstance(model, dict) else None
    named = architecture.get("cfg_path") if isinstance(architecture, dict) else content.get("student_cfg")
    return [named] if isinstance(named, str) else []


def _is_detector(model: Settings) -> bool:
    kind = str(model.peek("type")).rpartition(".")[2]
    return kind in DETECTORS or "bbox_head" in (model.value or {}) or "rpn_head" in (model.value or {})


def _pair(job: Job, path: Path) -> Pair:
    """Find student and teacher in one of the five layouts.

    Raises:
        UserError: no model.
    """
    config = job.config
    model = config.at("model")
    kind = str(model.peek("type")).rpartition(".")[2]
    if config.peek("distiller", "distill_cfg"):
        checkpoint = config.get("distiller", "teacher_pretrained")
        student = _model_file(job, path, config.get("student_cfg"))
        teacher = _model_file(job, path, config.get("teacher_cfg"))
        return Pair(student, teacher, checkpoint, _system(student))
    if config.peek("algorithm", "distiller"):
        algorithm = config.at("algorithm")
        teacher = algorithm.at("distiller", "teacher")
        return Pair(algorithm.at("architecture", "model"), teacher, checkpoint_of(teacher), _system(teacher))
    if kind in _DISTILLERS:
        student, start = _architecture(job, path, model, "architecture")
        teacher, zoo = _architecture(job, path, model, "teacher")
        checkpoint = model.get("teacher_ckpt") or checkpoint_of(model.at("teacher")) or zoo
        return Pair(student, teacher, checkpoint, _system(student), start)
    if kind == "SDModule":
        system = "nvlabs" if str(model.peek("cfg_t", "backbone", "type")).startswith("mit_b") else "mmseg"
        return Pair(model.at("cfg_s"), model.at("cfg_t"), model.get("t_pretrain"), system)
    if not model.value:
        raise UserError(
            f"{path}: no 'model', 'algorithm' or 'distiller': this is no configuration of a training. Give the file "
            "that is passed to tools/train.py."
        )
    return Pair(model)


def _system(model: Settings) -> str:
    return "mmdet" if _is_detector(model) else "mmseg"


def _architecture(job: Job, path: Path, model: Settings, role: str) -> tuple[Settings, str | None]:
    """Return a model that is written out or named by ``cfg_path``, and its weights with ``pretrained=True``."""
    part = model.at(role)
    named = part.get("cfg_path")
    if not isinstance(named, str):
        return part, None
    zoo = zoo_weights(named) if part.get("pretrained") else None
    if part.get("pretrained") and zoo is None:
        job.report.leave(f"{role}.pretrained = True: the zoo's weights of '{named}', which have no known address here")
    return _model_file(job, path, named), zoo


def _model_file(job: Job, path: Path, named: Any) -> Settings:
    """Return the model of a configuration that another one names.

    Raises:
        UserError: neither on the disk nor among the published ones.
    """
    reference = str(named)
    places = [Path(reference), *(parent / reference for parent in path.resolve().parents)]
    for place in places:
        if "::" not in reference and place.is_file():
            config = read_config(place, lambda base: known_base(base, job.modern))
            return Settings(config.content).at("model")
    known = known_model(reference)
    if known is None:
        raise UserError(
            f"{path}: it names the configuration '{reference}', which is not on the disk and not among the published "
            "ones that densekd knows (PSPNet, DeepLabV3, DeepLabV3+, FCN, SegFormer, RetinaNet, GFL, Faster R-CNN)."
        )
    job.report.assume(f"'{reference}' is not read: its published model was taken")
    return Settings(known["model"])


def _terms(job: Job, pair: Pair) -> list[Content]:
    config = job.config
    if config.peek("distiller", "distill_cfg"):
        return distiller_terms(job, config.at("distiller"))
    if config.peek("algorithm", "distiller"):
        algorithm = config.at("algorithm")
        algorithm.ignore("type")
        algorithm.ignore_entries("architecture", "type")
        algorithm.ignore_entries("distiller", "type", "teacher_trainable", "teacher_norm_eval")
        return old_terms(job, algorithm.at("distiller", "components"))
    model = config.at("model")
    if model.peek("cfg_s"):
        model.ignore("type", "train_cfg", "s_pretrain" if model.peek("s_pretrain") is None else "type")
        assert pair.teacher is not None
        return segdistill_terms(job, model, (_stride(pair.student), _stride(pair.teacher)))
    if model.peek("distiller"):
        model.ignore("type", "_scope_", "teacher_trainable", "teacher_norm_eval")
        return modern_terms(job, model)
    return []


def _stride(model: Settings) -> int:
    """Return the stride of a segmentor's logits."""
    head = str(model.peek("decode_head", "type"))
    return 4 if head.lower().endswith(("segformerhead", "uperhead")) else 8


def _segmentation(job: Job, pair: Pair) -> Content:
    model = pair.student
    data, views = segmentation_data(job, model)
    schedule = read_schedule(job, data["dataset"], data["batch_size"])
    data["batch_size"] = schedule.batch
    student = segmentation_model(job, model)
    student["options"] |= views.options
    content: Content = {"name": "", "data": data, "augment": views.augment, "student": student}
    content |= _teaching(job, pair, data["dataset"], schedule.training["steps"])
    content["task"] = segmentation_task(job, model)
    content |= {"optimizer": schedule.optimizer, "training": schedule.training}
    evaluation = segmentation_evaluation(model) | views.evaluation
    if job.config.peek("model", "cfg_s"):
        evaluation |= segmentation_evaluation(job.config.at("model"))
    return content | ({"evaluation": evaluation} if evaluation else {})


def _detection(job: Job, pair: Pair) -> Content:
    data, augment = detection_data(job)
    schedule = read_schedule(job, data["dataset"], data["batch_size"])
    data["batch_size"] = schedule.batch
    student = detection_model(job, pair.student)
    content: Content = {"name": "", "data": data, "augment": augment, "student": student}
    content |= _teaching(job, pair, data["dataset"], schedule.training["steps"])
    content["task"] = {"kind": "detection"}
    return content | {"optimizer": schedule.optimizer, "training": schedule.training}


def _teaching(job: Job, pair: Pair, dataset: str, steps: int) -> Content:
    """Return the sections ``teacher`` and ``distill``.

    Raises:
        UserError: a teacher, but nothing of its losses has a counterpart.
    """
    if pair.teacher is None:
        return {}
    terms = _terms(job, pair)
    if not terms:
        left = "\n".join(f"  - {text}" for text in job.report.left)
        raise UserError(f"{job.report.source}: none of its distillation losses has a counterpart here:\n{left}")
    terms = stop_distillation(job, terms, dataset, steps)
    return {"teacher": teacher_section(job, pair.teacher, pair.checkpoint, pair.system), "distill": terms}


def _load_from(job: Job, content: Content, start: str | None) -> None:
    """Read the weights that a training begins with as a whole."""
    named = job.config.get("load_from") or job.config.get("model", "s_pretrain") or start
    if isinstance(named, str):
        content["student"]["checkpoint"] = named
        content["student"].pop("pretrained", None)
