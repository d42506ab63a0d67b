"""Numbers of the configurations of detection on COCO."""

from typing import Any

from densekd.presets.originals.fact import ABSENT, Fact

_STUDENTS = ("GFL-R50", "RetinaNet-R50", "Faster R-CNN-R50")
_FRCNN_2X = "faster_rcnn_r101_fpn_2x_coco_bbox_mAP-0.398_20200504_210455-1d2dac9c.pth"
_X101 = "retinanet_x101_64x4d_fpn_1x_coco_20200130-366f5af1.pth"
_FIVE, _FOUR = "neck.{0,1,2,3,4}", "neck.{0,1,2,3}"
# 117,266 images of COCO 2017 with boxes make 7330 steps of 16.
_EPOCH = 7330


def _fact(parameter: str, original: str, key: str, ours: Any, why: str = "", **only: Any) -> Fact:
    return Fact(parameter, original, "configuration", key, ours, why, {"student": _STUDENTS, **only})


_FROM_IMAGENET = (
    "gfl-r101-r50-cwd-head", "gfl-r101-r50-cwd-fpn", "retinanet-r101-r50-cwd", "faster_rcnn-r101-r50-cwd",
    "faster_rcnn-r101-r50-pkd", "retinanet-x101-r50-pkd", "retinanet-x101-r50-mgd", "retinanet-x101-r50-cwd",
    "retinanet-x101-r50-fgd", "gfl-r101-r50-ld", "gfl-r101-r50-ld-alone", "gfl-r101-r50-ld-authors",
)  # fmt: skip
_COMMON = (
    _fact("dataset", "COCO 2017", "data.dataset", "coco"),
    _fact("ann_file", "instances_train2017.json", "data.train", "train2017"),
    _fact("ann_file", "instances_val2017.json", "data.val", "val2017"),
    _fact("scale", "(1333, 800)", "data.short_side", 800),
    _fact("scale", "(1333, 800)", "data.long_side", 1333),
    _fact("RandomFlip", "0.5", "augment.flip", 0.5),
    _fact("depth", "50", "student.options.backbone", "resnet50"),
    _fact("frozen_stages", "1", "student.options.freeze", ["stem", "stage1"]),
    _fact("init_cfg", "torchvision://resnet50", "student.pretrained", "resnet50.tv_in1k", name=_FROM_IMAGENET),
    _fact("task", "detection", "task.kind", "detection"),
    _fact("optimizer", "SGD", "optimizer.method", "sgd"),
    _fact("momentum", "0.9", "optimizer.momentum", 0.9),
    _fact("weight_decay", "0.0001", "optimizer.weight_decay", 0.0001),
    _fact("warmup_iters", "500", "optimizer.warmup", 500),
    _fact("warmup_ratio", "0.001", "optimizer.warmup_ratio", 0.001),
    _fact("model", "GFL", "student.model", "gfl", student=("GFL-R50",)),
    _fact("model", "RetinaNet", "student.model", "retinanet", student=("RetinaNet-R50",)),
    _fact("model", "FasterRCNN", "student.model", "faster_rcnn", student=("Faster R-CNN-R50",)),
)


def _schedule(names: tuple[str, ...], epochs: int) -> tuple[Fact, ...]:
    falls = {12: [8 * _EPOCH, 11 * _EPOCH], 24: [16 * _EPOCH, 22 * _EPOCH]}[epochs]
    return (
        _fact("max_epochs", str(epochs), "training.steps", epochs * _EPOCH, "in steps", name=names),
        _fact("step", "8, 11 or 16, 22", "optimizer.milestones", falls, "in steps", name=names),
    )


_OF_16 = (
    _fact("GPUs x samples", "8 x 2", "data.batch_size", 16),
    _fact("validation", "every epoch", "training.validate_every", _EPOCH),
)


def _teacher(file: str, names: tuple[str, ...]) -> Fact:
    return _fact("teacher_ckpt", file, "teacher.checkpoint", f"checkpoints/mmdet/{file}", name=names)


def _term(name: str, loss: str, weight: float, tap: Any, options: dict[str, Any]) -> tuple[Fact, ...]:
    """Return the facts of one term of an experiment: its weight, both taps, its options."""
    only: dict[str, Any] = {"name": (name,)}
    facts = [
        _fact("loss_weight", str(weight), f"distill.{loss}.weight", weight, **only),
        _fact("recorders", str(tap), f"distill.{loss}.student", tap, **only),
        _fact("recorders", str(tap), f"distill.{loss}.teacher", tap, **only),
    ]
    for option, value in options.items():
        facts.append(_fact(option, str(value), f"distill.{loss}.options.{option}", value, **only))
    return tuple(facts)


_GFL = ("gfl-r101-r50-cwd-head", "gfl-r101-r50-cwd-fpn")
_FRCNN = ("faster_rcnn-r101-r50-cwd", "faster_rcnn-r101-r50-fbkd", "faster_rcnn-r101-r50-pkd")
_X101_PAIRS = ("retinanet-x101-r50-pkd", "retinanet-x101-r50-mgd")
_1X = (*_GFL, "retinanet-r101-r50-cwd", "faster_rcnn-r101-r50-cwd", "faster_rcnn-r101-r50-fbkd")
_2X = ("faster_rcnn-r101-r50-pkd", *_X101_PAIRS)
_OF_FGD = (
    ("temp", "temperature", 0.5),
    ("alpha_fgd", "foreground_weight", 0.001),
    ("beta_fgd", "background_weight", 0.0005),
    ("gamma_fgd", "attention_weight", 0.0005),
    ("lambda_fgd", "relation_weight", 0.000005),
)
# What FBKDLoss weighs its four parts with, where the configuration says nothing.
_OF_FBKD = (
    ("mask_l2_weight", "mask_weight", 7e-5),
    ("channel_weight", "channel_weight", 4e-3),
    ("spatial_weight", "spatial_weight", 4e-3),
    ("nonloacl_weight", "non_local_weight", 7e-5),
)
MMRAZOR_DETECTION = (
    *_COMMON,
    *_OF_16,
    *_schedule(_1X, 12),
    *_schedule(_2X, 24),
    _teacher("gfl_r101_fpn_mstrain_2x_coco_20200629_200126-dd12f847.pth", _GFL),
    _teacher("retinanet_r101_fpn_2x_coco_20200131-5560aee8.pth", ("retinanet-r101-r50-cwd",)),
    _teacher("faster_rcnn_r101_fpn_1x_coco_20200130-f513f705.pth", _FRCNN[1:2]),
    _teacher(_FRCNN_2X, (_FRCNN[0], _FRCNN[2])),
    _fact(
        "architecture", "faster-rcnn_r50_fpn_1x_coco, pretrained=True", "student.checkpoint",
        "checkpoints/mmdet/faster_rcnn_r50_fpn_1x_coco_20200130-047c8118.pth", name=_FRCNN[1:2],
    ),
    _fact("architecture", "pretrained=True", "student.pretrained", ABSENT, name=_FRCNN[1:2]),
    _teacher(_X101, _X101_PAIRS),
    _fact("lr", "0.01", "optimizer.lr", 0.01, name=(*_GFL, "retinanet-r101-r50-cwd", *_X101_PAIRS)),
    _fact("lr", "0.02", "optimizer.lr", 0.02, name=_FRCNN),
    _fact("grad_clip", "none", "training.clip", 0, student=_STUDENTS),
    *_term("gfl-r101-r50-cwd-head", "cwd", 5, "cls.{0,1,2,3,4}", {"temperature": 1}),
    *_term("gfl-r101-r50-cwd-fpn", "cwd", 10, _FIVE, {"temperature": 1}),
    *_term("retinanet-r101-r50-cwd", "cwd", 10, _FIVE, {"temperature": 1}),
    *_term("faster_rcnn-r101-r50-cwd", "cwd", 10, _FIVE, {"temperature": 1}),
    *_term("faster_rcnn-r101-r50-fbkd", "fbkd", 1, "neck.0", {"reduction": 4, "stride": 8}),
    *_term("faster_rcnn-r101-r50-fbkd", "fbkd#2", 1, "neck.1", {"reduction": 4, "stride": 4}),
    *_term("faster_rcnn-r101-r50-fbkd", "fbkd#3", 1, "neck.{2,3}", {"reduction": 2, "stride": 2}),
    *_term("faster_rcnn-r101-r50-pkd", "pkd", 6, _FOUR, {}),
    *_term("retinanet-x101-r50-pkd", "pkd", 10, _FOUR, {}),
    *_term("retinanet-x101-r50-mgd", "mgd", 0.00002, _FIVE, {"masked": 0.65}),
    *(
        _fact(parameter, str(value), f"distill.{loss}.options.{option}", value, name=_FRCNN[1:2])
        for parameter, option, value in _OF_FBKD
        for loss in ("fbkd", "fbkd#2", "fbkd#3")
    ),
    _fact("mask_on_channel", "False", "distill.mgd.options.mask", "position", name=("retinanet-x101-r50-mgd",)),
    _fact("resize_stu", "True", "distill.pkd.options.resize", "student", name=(_FRCNN[2], _X101_PAIRS[0])),
    _fact(
        "init_cfg of neck and bbox_head", "the teacher's", "student.inherit", ["neck", "head"],
        name=("retinanet-x101-r50-mgd",),
    ),
)  # fmt: skip
_MDD, _FGD = ("retinanet-x101-r50-cwd",), ("retinanet-x101-r50-fgd",)
MMDETECTION_DISTILLER = (
    *_COMMON,
    *_OF_16,
    *_schedule(_MDD, 24),
    _teacher(_X101, _MDD),
    _fact("lr", "0.01", "optimizer.lr", 0.01),
    _fact("grad_clip", "none", "training.clip", 0),
    *_term("retinanet-x101-r50-cwd", "cwd", 5, _FOUR, {"temperature": 1}),
)
FGD = (
    *_COMMON,
    *_OF_16,
    *_schedule(_FGD, 24),
    _teacher(_X101, _FGD),
    _fact("lr", "0.01", "optimizer.lr", 0.01),
    _fact("grad_clip", "35", "training.clip", 35),
    _fact("neck and head", "the teacher's", "student.inherit", ["neck", "head"]),
    *_term("retinanet-x101-r50-fgd", "fgd", 1, _FIVE, {}),
    *(_fact(parameter, str(value), f"distill.fgd.options.{option}", value) for parameter, option, value in _OF_FGD),
)
_ALONE = ("gfl-r101-r50-ld", "gfl-r101-r50-ld-alone")
_AUTHORS = ("gfl-r101-r50-ld-authors",)
_LEVELS = ["{cls,reg}.{0,1,2,3,4}"]


def _authors(parameter: str, original: str, key: str, ours: Any, why: str = "") -> Fact:
    source = "configs/ld/ld_r50_gflv1_r101_fpn_coco_1x.py"
    return Fact(parameter, original, source, key, ours, why, {"name": _AUTHORS})


# 117,266 images make 29,317 steps of 4.
_EPOCH_OF_4 = 29317
LD = (
    *_COMMON,
    *_schedule(_ALONE, 12),
    _teacher("gfl_r101_fpn_mstrain_2x_coco_20200629_200126-dd12f847.pth", (*_ALONE, *_AUTHORS)),
    _fact("lr", "0.01 for 16 images", "optimizer.lr", 0.01, name=_ALONE),
    _fact("batch", "16", "data.batch_size", 16, name=_ALONE),
    _fact("validation", "every epoch", "training.validate_every", _EPOCH, name=_ALONE),
    _fact("grad_clip", "none", "training.clip", 0),
    *(
        _fact(
            parameter, "0.25 for 2 images", f"distill.{loss}.weight", 0.5,
            "the original adds up the images of a process, and ours takes their mean",
        )
        for parameter, loss in (("loss_ld", "ld"), ("loss_ld_vlr", "ld#2"))
    ),
    *(
        _fact("levels", "P3 to P7", f"distill.{loss}.{side}", _LEVELS)
        for loss in ("ld", "ld#2")
        for side in ("student", "teacher")
    ),
    _fact("region", "main", "distill.ld.options.region", "main"),
    *(_fact("T", "10", f"distill.{loss}.options.temperature", 10.0) for loss in ("ld", "ld#2")),
    *(_fact("divisor", "images", f"distill.{loss}.options.divisor", "images") for loss in ("ld", "ld#2")),
    _fact("region", "valuable", "distill.ld#2.options.region", "valuable"),
    _authors("lr", "0.0025", "optimizer.lr", 0.0025),
    _authors("samples", "2 on 2 GPUs", "data.batch_size", 4, "0.01 / 16 for each image"),
    _authors("max_epochs", "12", "training.steps", 12 * _EPOCH_OF_4, "in steps of 4"),
    _authors("step", "8, 11", "optimizer.milestones", [8 * _EPOCH_OF_4, 11 * _EPOCH_OF_4], "in steps"),
    _authors("validation", "every epoch", "training.validate_every", _EPOCH_OF_4),
    _authors("loss_kd", "10", "distill.ld_classes.weight", 10),
    _authors("T of loss_kd", "2", "distill.ld_classes.options.temperature", 2),
    _authors("loss_im", "2.0, finegrained", "distill.ld_features.weight", 2),
    *(
        _authors("levels", "P3 to P7", f"distill.{loss}.{side}", [tap])
        for loss, tap in (("ld_classes", "cls.{0,1,2,3,4}"), ("ld_features", "neck.{0,1,2,3,4}"))
        for side in ("student", "teacher")
    ),
)  # fmt: skip
