"""SegDistill's numbers: ``distillation_configs/`` of its branch V2."""

from typing import Any

from densekd.presets.originals.fact import ABSENT, Fact

_SEGFORMER = tuple(f"SegFormer-B{size}" for size in range(4))
_SWIN, _PSP = ("UPerNet-Swin-T",), ("PSPNet-R50",)
_GROUPS = (1, 3, 5, 10, 30, 50, 150)
_GRID = tuple((weight, t) for weight in (1, 2, 3) for t in (1, 2, 3, 4))
_SWEPT = tuple(f"group-{size}" for size in _GROUPS)
_WEIGHED = tuple(f"w{weight}-t{t}" for weight, t in _GRID)
_CGD = ("cgd", "cgd-sw", *_SWEPT, *_WEIGHED)
_PIXEL_ALONE = ("pd", "example")
_OF_CGD = ("cd", *_CGD, *_PIXEL_ALONE)
_FROM_IMAGENET = ("baseline", "pd", "at", "ifvd", "cd", *_CGD)
_WITH_PIXEL = ("at", "ifvd")


def _fact(parameter: str, original: str, key: str, ours: Any, why: str = "", **only: Any) -> Fact:
    return Fact(parameter, original, "distillation_configs", key, ours, why, only)


def _sizes() -> tuple[Fact, ...]:
    facts = []
    for size in range(4):
        only: dict[str, Any] = {"student": (f"SegFormer-B{size}",)}
        file = f"checkpoints/nvlabs/mit_b{size}.pth"
        facts.append(_fact("backbone", f"mit_b{size}", "student.options.backbone", f"mit_b{size}", **only))
        trained = {**only, "method": _FROM_IMAGENET}
        facts.append(_fact("pretrained", f"mit_b{size}.pth", "student.pretrained", file, **trained))
    for size in range(1, 5):
        file = f"checkpoints/nvlabs/segformer.b{size}.512x512.ade.160k.pth"
        why = "" if size == 3 else "the original loads B3's file whatever the teacher"
        teacher = (f"SegFormer-B{size}",)
        facts.append(_fact("t_pretrain", f"b{size}", "teacher.checkpoint", file, why, teacher=teacher))
    return tuple(facts)


def _sweeps() -> tuple[Fact, ...]:
    facts = []
    for size in _GROUPS:
        only: dict[str, Any] = {"method": (f"group-{size}",)}
        facts.append(_fact("group_size", str(size), "distill.cgd.options.group_size", size, **only))
    for weight, t in _GRID:
        only = {"method": (f"w{weight}-t{t}",)}
        facts.append(_fact("alpha", str(weight), "distill.cgd.weight", weight, **only))
        facts.append(_fact("tau", str(t), "distill.cgd.options.temperature", t, **only))
    return tuple(facts)


SEGDISTILL = (
    *_sizes(),
    _fact("pretrained", "none of the example", "student.pretrained", ABSENT, method=("example",)),
    *_sweeps(),
    _fact("dataset", "ADE20K", "data.dataset", "ade20k"),
    _fact(
        "img_scale", "(2048, 512), ratio_range 0.5 to 2", "data.short_side", 512,
        "brought to a shorter side of 512, then scaled",
    ),
    _fact("ratio_range", "0.5, 2.0", "augment.scale", [0.5, 2.0]),
    _fact("samples_per_gpu", "2 on 8 GPUs", "data.batch_size", 16),
    _fact("crop_size", "512, 512", "augment.crop", [512, 512]),
    _fact("cat_max_ratio", "0.75", "augment.max_class_share", 0.75),
    _fact("RandomFlip", "0.5", "augment.flip", 0.5),
    _fact("PhotoMetricDistortion", "yes", "augment.photometric", "mmseg"),
    _fact("Pad", "last", "augment.padding", "last"),
    _fact("student", "SegFormer", "student.model", "segformer", student=_SEGFORMER),
    _fact("code", "NVlabs", "student.options.family", "nvlabs", student=_SEGFORMER),
    _fact("student", "UPerHead on Swin-T", "student.model", "upernet", student=_SWIN),
    _fact("backbone", "Swin-T", "student.options.backbone", "swin_tiny", student=_SWIN),
    _fact("auxiliary head", "none", "student.options.auxiliary_channels", 0, student=(*_SWIN, *_PSP)),
    _fact(
        "pretrained", "swin_tiny_patch4_window7_224.pth", "student.pretrained",
        "checkpoints/swin/swin_tiny_patch4_window7_224.pth", student=_SWIN,
    ),
    _fact("student", "PSPHead on ResNetV1c-50", "student.model", "pspnet", student=_PSP),
    _fact("backbone", "ResNetV1c-50", "student.options.backbone", "resnet50", student=_PSP),
    _fact("style", "mmsegmentation", "student.options.family", "mmseg", student=_PSP),
    _fact("pretrained", "commented out", "student.pretrained", ABSENT, student=_PSP),
    _fact("loss_decode", "mean of all pixels", "task.normalize", "all"),
    _fact("optimizer", "AdamW", "optimizer.method", "adamw"),
    _fact("lr", "0.00006", "optimizer.lr", 0.00006),
    _fact("betas", "0.9, 0.999", "optimizer.betas", [0.9, 0.999]),
    _fact("weight_decay", "0.01", "optimizer.weight_decay", 0.01),
    _fact(
        "custom_keys, decay_mult 0", "pos_block, norm", "optimizer.no_decay", ["named:norm", "pos_block"],
        "by name: batch norms called bn decay", student=(*_SEGFORMER, *_PSP),
    ),
    _fact(
        "custom_keys, decay_mult 0", "absolute_pos_embed, relative_position_bias_table, norm",
        "optimizer.no_decay", ["absolute_pos_embed", "relative_position_bias_table", "named:norm"],
        student=_SWIN,
    ),
    _fact("custom_keys, head", "lr_mult 10", "optimizer.head_lr", 10, student=(*_SEGFORMER, *_PSP)),
    _fact("custom_keys, head", "not there", "optimizer.head_lr", 1, student=_SWIN),
    _fact("power", "1.0", "optimizer.power", 1.0),
    _fact("warmup_iters", "1500", "optimizer.warmup", 1500),
    _fact("warmup_ratio", "1e-6", "optimizer.warmup_ratio", 0.000001),
    _fact("max_iters", "160000", "training.steps", 160000),
    _fact("evaluation interval", "2000", "training.validate_every", 2000),
    _fact("AlignedResize", "32", "evaluation.divisor", 32),
    _fact("resize_config", "to the labels", "distill.cgd.resize_to", "label", method=_OF_CGD),
    _fact("factor T^2", "none", "distill.cgd.options.scale", "none", method=_OF_CGD),
    _fact("alpha", "3", "distill.cgd.weight", 3, method=("cgd", *_SWEPT)),
    _fact("alpha", "1", "distill.cgd.weight", 1, method=("cd", *_PIXEL_ALONE)),
    _fact("alpha", "3", "distill.cgd.weight.value", 3, method=("cgd-sw",)),
    _fact("warmup_iters", "2000", "distill.cgd.weight.warmup", 2000, method=("cgd-sw",)),
    _fact("earlydecay", "110000 to 120000", "distill.cgd.weight.decay", [110000, 120000], method=("cgd-sw",)),
    _fact("tau", "2", "distill.cgd.options.temperature", 2, method=("cgd", "cgd-sw", *_SWEPT)),
    _fact("tau", "1", "distill.cgd.options.temperature", 1, method=("cd", *_PIXEL_ALONE)),
    _fact("loss_type", "pixel", "distill.cgd.options.transform", "pixel", method=_PIXEL_ALONE),
    _fact("group_size", "1", "distill.cgd.options.group_size", 1, method=("cd",)),
    _fact("group_size", "10", "distill.cgd.options.group_size", 10, method=("cgd",), student=(*_SEGFORMER, *_SWIN)),
    _fact("group_size", "5", "distill.cgd.options.group_size", 5, method=("cgd",), student=_PSP),
    _fact(
        "group_size", "10", "distill.cgd.options.group_size", 10, "psp_CGD+WS.py passes 5 and crashes",
        method=("cgd-sw", *_WEIGHED),
    ),
    _fact("shuffle interval", "1000", "distill.cgd.options.shuffle_interval", 1000, method=_CGD),
    _fact("shuffle interval", "none", "distill.cgd.options.shuffle_interval", 0, method=("cd", *_PIXEL_ALONE)),
    _fact("loss_type", "channel", "distill.cgd.options.transform", "channel", method=("cd", *_CGD)),
    _fact("tau of the pixel-wise part", "1", "distill.pixel.options.temperature", 1.0, method=_WITH_PIXEL),
    _fact("mean of IFVD", "all positions", "distill.ifvd.options.mean", "all", method=("ifvd",)),
    _fact("min_lr", "0.0", "optimizer.floor", 0.0),
    _fact("checkpoint", "the last", "training.export", "last"),
    _fact("pixel-wise part", "1", "distill.pixel.weight", 1, method=_WITH_PIXEL),
    _fact("factor T^2", "none", "distill.pixel.options.scale", "none", method=_WITH_PIXEL),
    _fact(
        "size", "fails for PSPNet", "distill.pixel.resize_to", "student", "the original has two sizes there",
        method=_WITH_PIXEL, student=_PSP,
    ),
    _fact("ATLoss", "1", "distill.at.weight", 1, method=("at",)),
    _fact("attention", "mean of channels", "distill.at.options.attention", "mean", method=("at",)),
    _fact(
        "size", "fails for PSPNet", "distill.at.resize_to", "student", "the original has two sizes there",
        method=("at",), student=_PSP,
    ),
    _fact("IFVDLoss", "10", "distill.ifvd.weight", 10, method=("ifvd",)),
    _fact("size", "teacher to the student's", "distill.ifvd.resize_to", "student", method=("ifvd",)),
)  # fmt: skip
