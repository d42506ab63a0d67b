"""Detection on COCO: MMRazor, mmdetection-distiller, and the authors of FGD and LD."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from densekd.presets.parts import COCO, COCO_IMAGES, Content, both, term
from densekd.presets.preset import Preset

_FIVE, _FOUR = both("neck.{0,1,2,3,4}"), both("neck.{0,1,2,3}")
_HEADS = both(["{cls,reg}.{0,1,2,3,4}"])
_TEACHERS: Mapping[str, tuple[str, str]] = {
    "gfl": ("GFL-R101", "gfl_r101_fpn_mstrain_2x_coco_20200629_200126-dd12f847.pth"),
    "retinanet-r101": ("RetinaNet-R101", "retinanet_r101_fpn_2x_coco_20200131-5560aee8.pth"),
    "retinanet-x101": ("RetinaNet-X101", "retinanet_x101_64x4d_fpn_1x_coco_20200130-366f5af1.pth"),
    "faster_rcnn-1x": ("Faster R-CNN-R101", "faster_rcnn_r101_fpn_1x_coco_20200130-f513f705.pth"),
    "faster_rcnn-2x": (
        "Faster R-CNN-R101",
        "faster_rcnn_r101_fpn_2x_coco_bbox_mAP-0.398_20200504_210455-1d2dac9c.pth",
    ),
}


@dataclass(frozen=True)
class Experiment:
    """A detector with a ResNet-50 learns from a larger one.

    Args:
        name: of the preset.
        system: whose configuration.
        source: the configuration, or the paper.
        teacher: key of the teachers above; its first part is the student's model.
        terms: under ``distill``.
        epochs: 12 (1x) or 24 (2x).
        published: score, or nothing.
        differs: what is to be known.
        student: further keys of the student.
        clip: largest norm of the gradient; 0: no clipping.
        lr: learning rate.
        batch: images of a step, on all devices.
    """

    name: str
    system: str
    source: str
    teacher: str
    terms: list[Content]
    epochs: int = 12
    published: str = ""
    differs: str = ""
    student: dict[str, Any] = field(default_factory=dict)
    clip: int = 0
    lr: float = 0.01
    batch: int = 16


# The published detector that FBKD goes on with.
_FASTER_R50 = "faster_rcnn_r50_fpn_1x_coco_20200130-047c8118.pth"
_INHERIT = {"inherit": ["neck", "head"]}
_LD = [
    term("ld", 0.5, **_HEADS),
    term("ld", 0.5, {"region": "valuable"}, **_HEADS),
]
_FBKD = [
    term("fbkd", 1, {"reduction": 4, "stride": 8}, **both("neck.0")),
    term("fbkd", 1, {"reduction": 4, "stride": 4}, **both("neck.1")),
    term("fbkd", 1, {"reduction": 2, "stride": 2}, **both("neck.{2,3}")),
]
EXPERIMENTS = (
    Experiment(
        "gfl-r101-r50-cwd-head",
        "mmrazor",
        "0.3.1: cwd_cls_head_gfl_r101_fpn_gfl_r50_fpn_1x_coco.py",
        "gfl",
        [term("cwd", 5, {"temperature": 1}, **both("cls.{0,1,2,3,4}"))],
        published="41.9 AP",
    ),
    Experiment(
        "gfl-r101-r50-cwd-fpn",
        "mmrazor",
        "1.x: cwd_fpn_gfl_r101_gfl_r50_1x_coco.py",
        "gfl",
        [term("cwd", 10, {"temperature": 1}, **_FIVE)],
        differs="the configuration called cwd_cls_head of 1.x is this one: it compares pyramids",
    ),
    Experiment(
        "retinanet-r101-r50-cwd",
        "mmrazor",
        "1.x: cwd_fpn_retina_r101_retina_r50_1x_coco.py",
        "retinanet-r101",
        [term("cwd", 10, {"temperature": 1}, **_FIVE)],
    ),
    Experiment(
        "faster_rcnn-r101-r50-cwd",
        "mmrazor",
        "1.x: cwd_fpn_frcnn_r101_frcnn_r50_1x_coco.py",
        "faster_rcnn-2x",
        [term("cwd", 10, {"temperature": 1}, **_FIVE)],
        lr=0.02,
    ),
    Experiment(
        "faster_rcnn-r101-r50-fbkd",
        "mmrazor",
        "1.x: fbkd_fpn_faster-rcnn_r101_faster-rcnn_r50_1x_coco.py",
        "faster_rcnn-1x",
        _FBKD,
        published="39.3 AP",
        lr=0.02,
        student={"pretrained": None, "checkpoint": f"checkpoints/mmdet/{_FASTER_R50}"},
        differs="its student begins as the trained detector: architecture is written with pretrained=True",
    ),
    Experiment(
        "faster_rcnn-r101-r50-pkd",
        "mmrazor",
        "1.x: pkd_fpn_faster-rcnn_r101_faster-rcnn_r50_2x_coco.py",
        "faster_rcnn-2x",
        [term("pkd", 6, **_FOUR)],
        epochs=24,
        published="40.4 AP",
        lr=0.02,
    ),
    Experiment(
        "retinanet-x101-r50-pkd",
        "mmrazor",
        "1.x: pkd_fpn_retina_x101_retina_r50_2x_coco.py",
        "retinanet-x101",
        [term("pkd", 10, **_FOUR)],
        epochs=24,
        published="40.8 AP",
    ),
    Experiment(
        "retinanet-x101-r50-mgd",
        "mmrazor",
        "1.x: mgd_fpn_retina_x101_retina_r50_2x_coco.py",
        "retinanet-x101",
        [term("mgd", 0.00002, {"masked": 0.65}, **_FIVE)],
        epochs=24,
        published="41.0 AP",
        student=_INHERIT,
        differs="its clipping at 35 stands in a key that 1.x no longer reads, so there is none",
    ),
    Experiment(
        "retinanet-x101-r50-cwd",
        "mmdetection-distiller",
        "configs/distillers/cwd/cwd_retina_rx101_64x4d_distill_retina_r50_fpn_2x_coco.py",
        "retinanet-x101",
        [term("cwd", 5, {"temperature": 1}, **_FOUR)],
        epochs=24,
        published="40.5 AP",
        differs="its page gives the 2x teacher's 40.8 AP and its configuration the 1x teacher",
    ),
    Experiment(
        "retinanet-x101-r50-fgd",
        "fgd",
        "arXiv 2111.11837: fgd_retina_rx101_64x4d_distill_retina_r50_fpn_2x_coco.py",
        "retinanet-x101",
        [term("fgd", 1, **_FIVE)],
        epochs=24,
        published="40.7 AP",
        student=_INHERIT,
        clip=35,
    ),
    Experiment(
        "gfl-r101-r50-ld-alone",
        "ld",
        "arXiv 2102.12252: its first term alone, in the main and the valuable region",
        "gfl",
        _LD,
        differs="an experiment of ours: the authors' file adds other terms, which are left out here",
    ),
    Experiment(
        "gfl-r101-r50-ld-authors",
        "ld",
        "configs/ld/ld_r50_gflv1_r101_fpn_coco_1x.py",
        "gfl",
        [
            *_LD,
            term("ld.classes", 10, {"temperature": 2}, **both(["cls.{0,1,2,3,4}"])),
            term("ld.features", 2, **both(["neck.{0,1,2,3,4}"])),
        ],
        lr=0.0025,
        batch=4,
    ),
    Experiment(
        "gfl-r101-r50-ld",
        "ld",
        "the former name of gfl-r101-r50-ld-alone",
        "gfl",
        _LD,
        differs="an experiment of ours with LD alone; kept under its first name",
    ),
)


def presets() -> Iterator[Preset]:
    """Return the experiments on COCO."""
    for experiment in EXPERIMENTS:
        yield _preset(experiment)


def _preset(experiment: Experiment) -> Preset:
    model = experiment.teacher.partition("-")[0]
    teacher, file = _TEACHERS[experiment.teacher]
    epoch = math.ceil(COCO_IMAGES / experiment.batch)
    student: Content = {
        "model": model,
        "options": {"backbone": "resnet50", "freeze": ["stem", "stage1"]},
        "pretrained": "resnet50.tv_in1k",
        **experiment.student,
    }
    content: Content = {
        "name": experiment.name,
        "data": {**COCO, "batch_size": experiment.batch, "workers": 8},
        "augment": {"flip": 0.5},
        "student": {key: value for key, value in student.items() if value is not None},
        "teacher": {"checkpoint": f"checkpoints/mmdet/{file}"},
        "distill": experiment.terms,
        "task": {"kind": "detection"},
        "optimizer": _optimizer(experiment, epoch),
        "training": {
            "steps": epoch * experiment.epochs,
            "precision": 32,
            "clip": experiment.clip,
            "validate_every": epoch,
            "checkpoint_every": 1000,
        },
    }
    return Preset(
        name=experiment.name,
        system=experiment.system,
        student=f"{teacher.rpartition('-')[0]}-R50",
        teacher=teacher,
        method=experiment.name.rpartition("r50-")[2],
        data="coco",
        source=experiment.source,
        published=experiment.published,
        differs=experiment.differs,
        content=content,
    )


def _optimizer(experiment: Experiment, epoch: int) -> Content:
    """Return SGD with the steps of a schedule; an epoch is so many steps."""
    # The rate falls after two thirds of the epochs, and again one or two before the end.
    falls = (8, 11) if experiment.epochs == 12 else (16, 22)
    return {
        "method": "sgd",
        "lr": experiment.lr,
        "momentum": 0.9,
        "weight_decay": 0.0001,
        "milestones": [epoch * count for count in falls],
        "warmup": 500,
        "warmup_ratio": 0.001,
    }
