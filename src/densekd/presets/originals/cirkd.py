"""CIRKD's numbers: its scripts of both versions, and the defaults of its trainers."""

from typing import Any

from densekd.presets.originals.fact import ABSENT, Fact

_CNNS = (
    "DeepLabV3-R18", "PSPNet-R18", "DeepLabV3-MBV2", "UPerNet-R18 (lite)", "DeepLabV3-MBV3-Small",
    "DeepLabV3-MBV3-Large", "PSPNet-MBV3-Small", "PSPNet-MBV3-Large", "DeepLabV3-MobileViT-XXS",
    "PSPNet-MobileViT-XXS",
)  # fmt: skip
_VITS = ("DeepLabV3-MobileViT-XXS", "PSPNet-MobileViT-XXS")
_SGD = tuple(name for name in _CNNS if name not in _VITS)
_B0 = ("SegFormer-B0",)
_TAUGHT = ("kd", "skd", "ifvd", "cwd", "dsd", "at", "fitnet", "cirkd", "cirkdv2")
_WITH_PIXEL = tuple(method for method in _TAUGHT if method != "dsd")
_ADVERSARIAL = ("skd", "ifvd", "cwd")
_SETS = {
    "citys": "cityscapes", "voc": "voc", "ade20k": "ade20k", "camvid": "camvid",
    "coco_stuff_164k": "cocostuff",
}  # fmt: skip
# Student of a README -> model, backbone, file, in our words.
_STUDENTS = {
    "DeepLabV3-R18": ("deeplabv3", "resnet18", "resnet18-imagenet.pth"),
    "PSPNet-R18": ("pspnet", "resnet18", "resnet18-imagenet.pth"),
    "DeepLabV3-MBV2": ("deeplabv3_mobile", "mobilenetv2_100", "mobilenetv2-imagenet.pth"),
    "UPerNet-R18 (lite)": ("upernet_lite", "resnet18", "resnet18-imagenet.pth"),
    "DeepLabV3-MBV3-Small": ("deeplabv3_mobile", "mobilenetv3_small_100", "mobilenet_v3_small-47085aa1.pth"),
    "DeepLabV3-MBV3-Large": ("deeplabv3_mobile", "mobilenetv3_large_100", "mobilenet_v3_large-bc2c3fd3.pth"),
    "PSPNet-MBV3-Small": ("psp_mobile", "mobilenetv3_small_100", "mobilenet_v3_small-47085aa1.pth"),
    "PSPNet-MBV3-Large": ("psp_mobile", "mobilenetv3_large_100", "mobilenet_v3_large-bc2c3fd3.pth"),
    "DeepLabV3-MobileViT-XXS": (
        "deeplabv3_mobile", "mobilevit_xxs", "mobilevit-xxsmall_3rdparty_in1k_20221018-77835605.pth",
    ),
    "PSPNet-MobileViT-XXS": (
        "psp_mobile", "mobilevit_xxs", "mobilevit-xxsmall_3rdparty_in1k_20221018-77835605.pth",
    ),
    "SegFormer-B0": ("segformer", "mit_b0", "mit_b0.pth"),
}  # fmt: skip


def _fact(parameter: str, original: str, key: str, ours: Any, why: str = "", **only: Any) -> Fact:
    return Fact(parameter, original, "scripts, train_*.py", key, ours, why, only)


_DROPPED = "outputs[-1]: block[0:4], the dropout included"


def _taps(loss: str, *methods: str) -> tuple[Fact, Fact]:
    return (
        _fact("feature", _DROPPED, f"distill.{loss}.student", "head.dropout", method=methods),
        _fact("feature", _DROPPED, f"distill.{loss}.teacher", "head.dropout", method=methods),
    )


def _by_student() -> tuple[Fact, ...]:
    facts = []
    for student, (model, backbone, file) in _STUDENTS.items():
        place = f"checkpoints/cirkd/{file}"
        facts += [
            _fact("--student-model", student, "student.model", model, student=(student,)),
            _fact("--student-backbone", student, "student.options.backbone", backbone, student=(student,)),
            _fact("--student-pretrained-base", file, "student.pretrained", place, student=(student,)),
        ]
    return tuple(facts)


def _by_data(folder: str, *without: str) -> tuple[Fact, ...]:
    facts = []
    for name, dataset in _SETS.items():
        if name in without:
            continue
        file = f"checkpoints/{folder}/deeplabv3_resnet101_{name}_best_model.pth"
        only: dict[str, Any] = {"data": (name,), "method": _TAUGHT, "student": _CNNS}
        facts.append(_fact("--dataset", name, "data.dataset", dataset, data=(name,)))
        facts.append(_fact("--teacher-pretrained", f"{name} teacher", "teacher.checkpoint", file, **only))
        # COCO-Stuff has 182 logits of which 171 are classes.
        classes = "cocostuff-182" if name.startswith("coco") else ABSENT
        facts.append(_fact("classes of the teacher", name, "teacher.classes", classes, **only))
    file = f"checkpoints/{folder}/segformer_MiT_B4_citys_best_model.pth"
    only = {"method": _TAUGHT, "student": _B0}
    facts.append(_fact("--teacher-pretrained", "SegFormer-B4", "teacher.checkpoint", file, **only))
    return tuple(facts)


_COMMON = (
    *_by_student(),
    _fact("training list", "train_aug, 10582 images", "data.train", "trainaug", data=("voc",)),
    _fact("--crop-size", "512 1024", "augment.crop", [512, 1024], data=("citys",), student=_CNNS),
    _fact("--crop-size", "360 360", "augment.crop", [360, 360], data=("camvid",)),
    _fact("--crop-size", "512 512", "augment.crop", [512, 512], data=("voc", "coco_stuff_164k")),
    _fact("--crop-size", "512 512", "augment.crop", [512, 512], data=("ade20k",), method=_TAUGHT),
    _fact("--crop-size", "1024 1024", "augment.crop", [1024, 1024], student=_B0),
    _fact("random scale", "0.5 + {0..15} / 10", "augment.scale", [0.5, 2.0], "drawn evenly from the range"),
    _fact("random mirror", "p 0.5", "augment.flip", 0.5),
    _fact("crop", "any", "augment.max_class_share", 1),
    _fact("SegFormer's decoder and norms", "CIRKD's", "student.options.family", "cirkd", student=_B0),
    _fact("auxiliary loss", "0.4", "task.auxiliary_weight", 0.4),
    _fact("CrossEntropyLoss", "mean of valid pixels", "task.normalize", "valid"),
    _fact("optimizer", "SGD", "optimizer.method", "sgd", student=_SGD),
    _fact("--optimizer-type", "adamw", "optimizer.method", "adamw", student=(*_B0, *_VITS)),
    _fact("--momentum", "0.9", "optimizer.momentum", 0.9, student=_SGD),
    _fact("--weight-decay", "1e-4", "optimizer.weight_decay", 0.0001, student=(*_SGD, *_B0)),
    _fact("power", "0.9", "optimizer.power", 0.9),
    _fact("--lr", "0.0002", "optimizer.lr", 0.0002, student=_B0),
    _fact("--batch-size", "8", "data.batch_size", 8, student=_B0),
    _fact("--max-iterations", "160000", "training.steps", 160000, student=_B0),
    _fact("evaluation", "two halves of 1024 x 1024", "evaluation.crop", [1024, 1024], student=_B0),
    _fact("evaluation", "two halves of 1024 x 1024", "evaluation.stride", [1024, 1024], student=_B0),
    _fact("checkpoint", "best on the validation split", "training.export", "best"),
    _fact("mean IoU", "absent classes count 0", "evaluation.absent", "zero"),
    _fact("--lambda-kd", "1", "distill.pixel.weight", 1, method=_WITH_PIXEL),
    _fact("--kd-temperature", "1", "distill.pixel.options.temperature", 1.0, method=_WITH_PIXEL),
    _fact("KLDivLoss", "mean of positions", "distill.pixel.options.reduction", "pixel", method=_WITH_PIXEL),
    _fact("betas of AdamW", "torch's", "optimizer.betas", [0.9, 0.999], student=(*_B0, *_VITS)),
    _fact("lowest rate", "0", "optimizer.floor", 0.0),
    _fact("warm-up", "none", "optimizer.warmup", 0),
)  # fmt: skip
# What no script sets: the defaults of the trainers, and of the loss.
_BANK: tuple[tuple[str, str, float], ...] = (
    ("--region-memory-size", "region_memory_size", 2000),
    ("--pixel-contrast-size", "pixel_contrast_size", 4096),
    ("--region-contrast-size", "region_contrast_size", 1024),
    ("--contrast-temperature", "contrast_temperature", 0.1),
    ("--contrast-kd-temperature", "contrast_kd_temperature", 1.0),
    ("pixel_update_freq", "pixel_update_freq", 16),
)
_MEMORY = (
    *(
        _fact(parameter, str(value), f"distill.cirkd_memory.options.{option}", value, method=("cirkd", "cirkdv2"))
        for parameter, option, value in _BANK
    ),
    _fact(
        "--pixel-memory-size", "20000", "distill.cirkd_memory.options.pixel_memory_size", 20000,
        method=("cirkd", "cirkdv2"), student=_CNNS,
    ),
    _fact(
        "--contrast-temperature", "0.1", "distill.cirkd_minibatch.options.temperature", 0.1,
        method=("cirkd", "cirkdv2"),
    ),
    _fact(
        "factor of both memories", "0.1", "distill.cirkd_memory.weight", 1,
        "the factors are options", method=("cirkd", "cirkdv2"),
    ),
    _fact("--lambda-minibatch-pixel", "1", "distill.cirkd_minibatch.weight", 1, method=("cirkd", "cirkdv2")),
    _fact(
        "--pixel-memory-size", "2000", "distill.cirkd_memory.options.pixel_memory_size", 2000,
        method=("cirkd", "cirkdv2"), student=_B0,
    ),
    *_taps("cirkd_minibatch", "cirkd", "cirkdv2"),
    *_taps("cirkd_memory", "cirkd", "cirkdv2"),
)  # fmt: skip
_NOT_VOC = ("citys", "camvid", "ade20k", "coco_stuff_164k")


def _cwd(student: tuple[str, ...], features: str, wide: str, weight: float, logits: float) -> tuple[Fact, ...]:
    only: dict[str, Any] = {"method": ("cwd",), "student": student}
    why = f"the original divides by the student's channels, before the adapter: x {wide}"
    return (
        _fact("--lambda-cwd-fea", features, "distill.cwd.weight", weight, why, **only),
        _fact("--lambda-cwd-logit", str(logits), "distill.cwd#2.weight", logits, **only),
    )


CIRKD = (
    *_COMMON,
    *_MEMORY,
    *_by_data("cirkd"),
    _fact(
        "--crop-size", "not passed: 512 1024", "augment.crop", [512, 1024], data=("ade20k",), method=("baseline",),
    ),
    _fact("widths of heads", "version 1", "student.options.family", "hwd", "HWD has them too", student=_CNNS),
    _fact("teacher", "DeepLabV3-R101, 256 wide", "teacher.options.channels", 256, method=_TAUGHT, student=_CNNS),
    _fact("--batch-size", "16", "data.batch_size", 16, student=_CNNS),
    _fact("--lr", "0.02", "optimizer.lr", 0.02, student=_CNNS),
    _fact(
        "--max-iterations", "40000", "training.steps", 40000,
        student=_CNNS, data=("citys", "voc", "camvid", "ade20k"),
    ),
    _fact("--max-iterations", "80000", "training.steps", 80000, data=("coco_stuff_164k",)),
    _fact("--val-per-iters", "800", "training.validate_every", 800),
    _fact("--lambda-adv", "0.001", "distill.adversarial.weight", 0.001, method=_ADVERSARIAL),
    _fact("adversarial loss", "hinge", "distill.adversarial.options.objective", "hinge", method=_ADVERSARIAL),
    _fact(
        "--lambda-d", "0.1", "distill.adversarial.options.discriminator_weight", 100,
        "in units of the term's weight: 0.1 / 0.001", method=_ADVERSARIAL,
    ),
    _fact(
        "rate of the discriminator", "4e-4, constant", "distill.adversarial.options.optimization.power", 0,
        method=_ADVERSARIAL,
    ),
    _fact(
        "rate of the discriminator", "4e-4", "distill.adversarial.options.optimization.lr", 0.0004,
        method=_ADVERSARIAL,
    ),
    _fact(
        "betas of the discriminator", "0.9, 0.99", "distill.adversarial.options.optimization.betas", [0.9, 0.99],
        method=_ADVERSARIAL,
    ),
    _fact(
        "preprocess_GAN_mode", "1", "distill.adversarial.options.preprocess", "batch_norm", method=_ADVERSARIAL,
    ),
    _fact("attention", "mean of squares, normalized", "distill.at.options.attention", "energy", method=("at",)),
    _fact("mean of IFVD", "all positions", "distill.ifvd.options.mean", "all", method=("ifvd",)),
    _fact("norm_type", "channel", "distill.cwd.options.normalize", "channel", method=("cwd",)),
    _fact("norm_type", "channel", "distill.cwd#2.options.normalize", "channel", method=("cwd",)),
    _fact("divergence", "kl", "distill.cwd.options.divergence", "kl", method=("cwd",)),
    _fact("divergence", "kl", "distill.cwd#2.options.divergence", "kl", method=("cwd",)),
    _fact("--lambda-skd", "10", "distill.pairwise.weight", 10, method=("skd",)),
    _fact("--lambda-ifv", "20", "distill.ifvd.weight", 20, method=("ifvd",)),
    _fact("--lambda-at", "10000", "distill.at.weight", 10000, method=("at",)),
    _fact("--lambda-fitnet", "10", "distill.fitnet.weight", 10, method=("fitnet",)),
    _fact("adapter", "1x1 convolution", "distill.fitnet.adapter", "conv", method=("fitnet",)),
    _fact("--lambda-psd", "1000", "distill.dsd.weight", 1000, method=("dsd",)),
    _fact(
        "--lambda-csd", "10", "distill.dsd.options.category_weight", 0.01,
        "in units of the term's weight: 10 / 1000", method=("dsd",),
    ),
    *(
        _fact(
            "outputs", "[-2], [-1], [0]", f"distill.dsd.{side}", ["aux", "head.dropout", "logits"],
            method=("dsd",), student=("DeepLabV3-R18", "PSPNet-R18"),
        )
        for side in ("student", "teacher")
    ),
    *(
        _fact(
            "outputs", "[-1], [0]", f"distill.dsd.{side}", ["head.dropout", "logits"],
            method=("dsd",), student=("SegFormer-B0",),
        )
        for side in ("student", "teacher")
    ),
    _fact(
        "outputs", "[-2], [-1], [0] of [logits, feature]", "distill.dsd.student", ["logits", "head.dropout", "logits"],
        method=("dsd",), student=("DeepLabV3-MBV2",),
    ),
    _fact(
        "outputs", "[-2], [-1], [0]", "distill.dsd.teacher", ["aux", "head.dropout", "logits"],
        method=("dsd",), student=("DeepLabV3-MBV2",),
    ),
    *_cwd(("DeepLabV3-R18", "PSPNet-R18", "DeepLabV3-MBV2"), "50", "256 / 128", 100, 3),
    *_cwd(_B0, "5", "768 / 256", 15, 0.3),
    _fact("temperature of CWD", "4", "distill.cwd.options.temperature", 4, method=("cwd",)),
    _fact("temperature of CWD", "4", "distill.cwd#2.options.temperature", 4, method=("cwd",)),
    _fact("adapter", "1x1 convolution", "distill.cwd.adapter", "conv", method=("cwd",)),
    *_taps("pairwise", "skd"),
    *_taps("ifvd", "ifvd"),
    *_taps("at", "at"),
    *_taps("fitnet", "fitnet"),
    *_taps("cwd", "cwd"),
    _fact(
        "images of one GPU", "16 / 8", "distill.cirkd_minibatch.options.images_per_group", 2,
        method=("cirkd",), student=_CNNS,
    ),
    _fact(
        "images of one GPU", "8 / 8", "distill.cirkd_minibatch.options.images_per_group", 1,
        method=("cirkd",), student=_B0,
    ),
    *(
        _fact(
            f"--lambda-memory-{kind}", "0.1", f"distill.cirkd_memory.options.{kind}_weight", 0.1,
            method=("cirkd",), data=_NOT_VOC,
        )
        for kind in ("pixel", "region")
    ),
    *(
        _fact(
            f"--lambda-memory-{kind}", "0.01", f"distill.cirkd_memory.options.{kind}_weight", 0.01,
            method=("cirkd",), data=("voc",),
        )
        for kind in ("pixel", "region")
    ),
)  # fmt: skip

# --lambda-fitnet of each script of version 2.
_FITNET_1 = {
    "DeepLabV3-R18": ("citys", "ade20k"), "UPerNet-R18 (lite)": ("citys",),
    "DeepLabV3-MBV3-Small": ("citys", "coco_stuff_164k"), "PSPNet-MBV3-Large": ("ade20k",),
    "PSPNet-MobileViT-XXS": ("citys",), "SegFormer-B0": ("citys",),
}  # fmt: skip
_FITNET_10 = {
    "DeepLabV3-R18": ("coco_stuff_164k",), "UPerNet-R18 (lite)": ("ade20k",),
    "DeepLabV3-MBV3-Small": ("voc",), "DeepLabV3-MBV3-Large": ("ade20k", "voc", "coco_stuff_164k"),
    "PSPNet-MBV3-Small": ("citys", "voc", "coco_stuff_164k"), "PSPNet-MBV3-Large": ("voc",),
    "DeepLabV3-MobileViT-XXS": ("citys",),
}  # fmt: skip


def _fitnet() -> tuple[Fact, ...]:
    facts = []
    for weight, table in ((1, _FITNET_1), (10, _FITNET_10)):
        for student, sets in table.items():
            only: dict[str, Any] = {"student": (student,), "data": sets, "method": ("cirkdv2",)}
            facts.append(_fact("--lambda-fitnet", str(weight), "distill.fitnet.weight", weight, **only))
    return tuple(facts)


def _version_2(parameter: str, original: str, key: str, ours: Any, why: str = "", **only: Any) -> Fact:
    return _fact(parameter, original, f"distill.{key}", ours, why, method=("cirkdv2",), **only)


def _groups(loss: str) -> tuple[Fact, ...]:
    """Return how many images one GPU compares: the batch over 8 GPUs, over 4 for VOC."""
    key = f"{loss}.options.images_per_group"
    return (
        _version_2("images of one GPU", "8 / 8", key, 1, data=("citys",)),
        _version_2("images of one GPU", "16 / 8", key, 2, data=("ade20k", "coco_stuff_164k")),
        _version_2("images of one GPU", "16 / 4", key, 4, data=("voc",)),
    )


def _block(loss: str, adapter: str) -> tuple[Fact, ...]:
    return (_version_2("context block", "GCN on the student's feature", f"{loss}.adapter", adapter, student=_CNNS),)


_BASELINE = ("baseline",)
CIRKDV2 = (
    *_COMMON,
    *_MEMORY,
    *_by_data("cirkdv2", "camvid"),
    *_fitnet(),
    _fact("--crop-size", "512 512", "augment.crop", [512, 512], data=("ade20k",), method=_BASELINE),
    _fact("widths of heads", "version 2", "student.options.family", "cirkdv2", student=_CNNS),
    _fact("teacher", "DeepLabV3-R101, 512 wide", "teacher.options.channels", 512, method=_TAUGHT, student=_CNNS),
    _fact("--batch-size", "8", "data.batch_size", 8, data=("citys",), student=_CNNS),
    _fact("--batch-size", "16", "data.batch_size", 16, data=("ade20k", "voc", "coco_stuff_164k")),
    _fact("--lr", "0.01", "optimizer.lr", 0.01, data=("citys",), student=_SGD),
    _fact("--lr", "0.02", "optimizer.lr", 0.02, data=("ade20k", "voc", "coco_stuff_164k")),
    _fact("--lr", "0.0009", "optimizer.lr", 0.0009, student=_VITS),
    _fact("--weight-decay", "0.01", "optimizer.weight_decay", 0.01, student=_VITS),
    _fact("--max-iterations", "80000", "training.steps", 80000, student=_CNNS),
    _fact("--val-per-iters", "800", "training.validate_every", 800, data=("citys", "ade20k", "voc")),
    _fact("--val-per-iters", "800", "training.validate_every", 800, data=("coco_stuff_164k",), method=("cirkdv2",)),
    _fact("--val-per-iters", "80000", "training.validate_every", 80000, data=("coco_stuff_164k",), method=_BASELINE),
    _version_2("--lambda-memory-pixel", "0.1", "cirkd_memory.options.pixel_weight", 0.1),
    _version_2("--lambda-memory-region", "0.1", "cirkd_memory.options.region_weight", 0.1),
    _version_2(
        "factors of three channel terms", "1, 0.1, 100", "cirkd_channel.weight", 1, "the factors are options"
    ),
    _version_2("--lambda-minibatch-channel", "1", "cirkd_channel.options.batch_weight", 1),
    _version_2("--lambda-memory-channel", "0.1", "cirkd_channel.options.memory_weight", 0.1),
    _version_2("--lambda-channel-kd", "100", "cirkd_channel.options.mse_weight", 100),
    _version_2("--channel-memory-size", "10000", "cirkd_channel.options.channel_memory_size", 10000),
    _version_2("--channel-contrast-size", "2048", "cirkd_channel.options.channel_contrast_size", 2048),
    _version_2("channel_update_freq", "256", "cirkd_channel.options.channel_update_freq", 256),
    _version_2("--contrast-temperature", "0.1", "cirkd_channel.options.contrast_temperature", 0.1),
    _version_2("--contrast-kd-temperature", "1", "cirkd_channel.options.contrast_kd_temperature", 1.0),
    *_groups("cirkd_minibatch"),
    *_groups("cirkd_channel"),
    *_taps("fitnet", "cirkdv2"),
    *_taps("cirkd_channel", "cirkdv2"),
    *_block("cirkd_minibatch", "graph-context"),
    *_block("cirkd_memory", "graph-context"),
    *_block("cirkd_channel", "graph-context"),
    *_block("fitnet", "graph-context-conv"),
    _version_2(
        "context block", "commented out in the trainer of SegFormer", "fitnet.adapter", "conv", student=_B0
    ),
)  # fmt: skip
