"""Numbers of MMRazor's and mmsegmentation-distiller's configurations of segmentation."""

from typing import Any

from densekd.presets.originals.fact import Fact

_FACTS = (
    ("backbone", "ResNetV1c-18", "student.options.backbone", "resnet18"),
    ("model", "PSPHead", "student.model", "pspnet"),
    ("style", "mmsegmentation", "student.options.family", "mmseg"),
    (
        "pretrained",
        "open-mmlab://resnet18_v1c",
        "student.pretrained",
        "checkpoints/mmseg/resnet18_v1c-b5776b93.pth",
    ),
    ("ratio_range", "0.5, 2.0", "augment.scale", [0.5, 2.0]),
    ("cat_max_ratio", "0.75", "augment.max_class_share", 0.75),
    ("RandomFlip", "0.5", "augment.flip", 0.5),
    ("PhotoMetricDistortion", "yes", "augment.photometric", "mmseg"),
    ("Pad", "last", "augment.padding", "last"),
    ("tau", "1", "distill.cwd.options.temperature", 1),
    ("softmax", "over positions", "distill.cwd.options.normalize", "channel"),
    ("warm-up", "none", "optimizer.warmup", 0),
    ("weights of the last step", "student of iter_80000", "training.export", "last"),
    ("loss_decode", "mean of all pixels", "task.normalize", "all"),
    ("auxiliary loss", "0.4", "task.auxiliary_weight", 0.4),
    ("optimizer", "SGD", "optimizer.method", "sgd"),
    ("lr", "0.01", "optimizer.lr", 0.01),
    ("momentum", "0.9", "optimizer.momentum", 0.9),
    ("weight_decay", "0.0005", "optimizer.weight_decay", 0.0005),
    ("power", "0.9", "optimizer.power", 0.9),
    ("min_lr", "1e-4", "optimizer.floor", 0.0001),
)
_TEACHER = "checkpoints/mmseg/pspnet_r101-d8_512x1024_80k_cityscapes_20200606_112211-e1e1100f.pth"
_TEACHER_B = "checkpoints/mmseg/pspnet_r101b-d8_512x1024_80k_cityscapes_20201226_170012-3a4d38ab.pth"
_TEACHER_ADE20K = "checkpoints/mmseg/pspnet_r101-d8_512x512_160k_ade20k_20200615_100650-967c316f.pth"


def _facts(source: str, students: tuple[str, ...]) -> tuple[Fact, ...]:
    """Return what all configurations of PSPNet-R18 have in common."""
    facts = []
    for parameter, original, key, ours in _FACTS:
        facts.append(Fact(parameter, original, source, key, ours, only={"student": students}))
    return tuple(facts)


def _fact(source: str, parameter: str, original: str, key: str, ours: Any, why: str = "", **only: Any) -> Fact:
    return Fact(parameter, original, source, key, ours, why, {"student": ("PSPNet-R18",), **only})


def _city(source: str) -> tuple[Fact, ...]:
    only: dict[str, Any] = {"data": ("citys",)}
    return (
        _fact(source, "dataset", "Cityscapes", "data.dataset", "cityscapes", **only),
        _fact(source, "crop_size", "512, 1024", "augment.crop", [512, 1024], **only),
        _fact(source, "loss_weight", "5", "distill.cwd.weight", 5, **only),
        _fact(source, "max_iters", "80000", "training.steps", 80000, **only),
        _fact(source, "val interval", "8000", "training.validate_every", 8000, **only),
    )


_RAZOR = "cwd_logits_pspnet_r101-d8_pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py"
MMRAZOR_SEGMENTATION = (
    *_facts(_RAZOR, ("PSPNet-R18",)),
    *_city(_RAZOR),
    _fact(_RAZOR, "teacher_ckpt", "pspnet_r101-d8_512x1024_80k_cityscapes", "teacher.checkpoint", _TEACHER),
    _fact(_RAZOR, "GPUs x samples", "4 x 2", "data.batch_size", 8, name=("mmrazor-r18-cwd",)),
    _fact(
        "DeepSparkHub", "GPUs x samples", "8 x 2", "data.batch_size", 16, name=("mmrazor-r18-cwd-8gpu",)
    ),
)  # fmt: skip
_DISTILLER = "configs/distiller/cwd"
_80K, _40K = (
    ("mmsegdistiller-r18-ade20k-cwd",),
    ("mmsegdistiller-r18-ade20k-cwd-40k", "mmsegdistiller-r18-ade20k-cwd-8x1"),
)
_ADE: dict[str, Any] = {"data": ("ade20k",)}
MMSEGMENTATION_DISTILLER = (
    *_facts(_DISTILLER, ("PSPNet-R18",)),
    *_city(_DISTILLER),
    _fact(
        _DISTILLER, "teacher_pretrained", "pspnet_r101b-d8_512x1024_80k_cityscapes", "teacher.checkpoint", _TEACHER_B,
        data=("citys",),
    ),
    _fact(_DISTILLER, "GPUs x samples", "4 x 2", "data.batch_size", 8, data=("citys",)),
    _fact(
        _DISTILLER, "dataset", "ADE20K", "data.dataset", "ade20k",
        "the 8x1 file names Cityscapes beside 150 classes", **_ADE,
    ),
    _fact(
        _DISTILLER, "img_scale", "(2048, 512)", "data.short_side", 512,
        "brought to a shorter side of 512, then scaled", **_ADE,
    ),
    _fact(_DISTILLER, "crop_size", "512, 512", "augment.crop", [512, 512], **_ADE),
    _fact(_DISTILLER, "loss_weight", "10", "distill.cwd.weight", 10, **_ADE),
    _fact(
        _DISTILLER, "teacher_pretrained", "pspnet_r101-d8_512x512_160k_ade20k", "teacher.checkpoint", _TEACHER_ADE20K,
        **_ADE,
    ),
    _fact(_DISTILLER, "GPUs x samples", "4 x 4", "data.batch_size", 16, name=_80K),
    _fact(_DISTILLER, "GPUs x samples", "2 x 4, 8 x 1", "data.batch_size", 8, name=_40K),
    _fact(_DISTILLER, "max_iters", "80000", "training.steps", 80000, name=_80K),
    _fact(_DISTILLER, "max_iters", "40000", "training.steps", 40000, name=_40K),
    _fact(_DISTILLER, "val interval", "8000", "training.validate_every", 8000, name=_80K),
    _fact(_DISTILLER, "val interval", "4000", "training.validate_every", 4000, name=_40K),
)  # fmt: skip
