"""HWD's numbers: its README, and the defaults of its trainers."""

from typing import Any

from densekd.presets.originals.fact import ABSENT, Fact

_TAUGHT = ("hwd", "cwd", "skd", "ifvd", "dist", "mgd", "cirkd")
_ADVERSARIAL = ("skd", "ifvd")
_PIXEL = ("skd", "ifvd", "cirkd")


def _fact(parameter: str, original: str, key: str, ours: Any, why: str = "", **only: Any) -> Fact:
    return Fact(parameter, original, "train_*.py", key, ours, why, only)


def _readme(parameter: str, original: str, key: str, ours: Any, why: str = "") -> Fact:
    return Fact(parameter, original, "README, train_hwd.py", f"distill.hwd.{key}", ours, why, {"method": ("hwd",)})


_DROPPED = "outputs[-1]: block[0:4], the dropout included"


def _tap(loss: str, method: str) -> tuple[Fact, Fact]:
    only: dict[str, Any] = {"method": (method,)}
    return (
        Fact("feature", _DROPPED, f"train_{method}.py", f"distill.{loss}.student", "head.dropout", only=only),
        Fact("feature", _DROPPED, f"train_{method}.py", f"distill.{loss}.teacher", "head.dropout", only=only),
    )


_SETS = {
    "citys": "cityscapes", "voc": "voc", "ade20k": "ade20k", "camvid": "camvid",
    "coco_stuff_164k": "cocostuff", "coco_stuff_10k": "cocostuff10k",
}  # fmt: skip
_STUDENTS = {
    "deeplabv3-resnet18": ("deeplabv3", "resnet18", "resnet18-imagenet.pth"),
    "deeplabv3-resnet50": ("deeplabv3", "resnet50", "resnet50-imagenet.pth"),
    "deeplabv3-resnet101": ("deeplabv3", "resnet101", "resnet101-imagenet.pth"),
    "deeplabv3_mobile-mobilenetv2_100": ("deeplabv3_mobile", "mobilenetv2_100", "mobilenetv2-imagenet.pth"),
    "pspnet-resnet18": ("pspnet", "resnet18", "resnet18-imagenet.pth"),
    "pspnet-resnet50": ("pspnet", "resnet50", "resnet50-imagenet.pth"),
    "pspnet-resnet101": ("pspnet", "resnet101", "resnet101-imagenet.pth"),
    "psp_mobile-mobilenetv2_100": ("psp_mobile", "mobilenetv2_100", "mobilenetv2-imagenet.pth"),
}
_TEACHERS = {
    "citys": "cirkd/deeplabv3_resnet101_citys", "voc": "cirkd/deeplabv3_resnet101_voc",
    "camvid": "cirkd/deeplabv3_resnet101_camvid", "ade20k": "hwd/deeplabv3_resnet101_ade20k",
    "coco_stuff_164k": "hwd/deeplabv3_resnet101_coco", "coco_stuff_10k": "hwd/deeplabv3_resnet101_coco",
}  # fmt: skip


def _by_student() -> tuple[Fact, ...]:
    facts = []
    for student, (model, backbone, file) in _STUDENTS.items():
        place = f"checkpoints/cirkd/{file}"
        facts += [
            _fact("--student-model", model, "student.model", model, student=(student,)),
            _fact("--student-backbone", backbone, "student.options.backbone", backbone, student=(student,)),
            _fact("--student-pretrained-base", file, "student.pretrained", place, student=(student,)),
        ]
    return tuple(facts)


def _by_data() -> tuple[Fact, ...]:
    facts = []
    for name, dataset in _SETS.items():
        file = f"checkpoints/{_TEACHERS[name]}_best_model.pth"
        only: dict[str, Any] = {"data": (name,), "method": _TAUGHT}
        facts.append(_fact("--dataset", name, "data.dataset", dataset, data=(name,)))
        facts.append(_fact("--teacher-pretrained", f"{name} teacher", "teacher.checkpoint", file, **only))
        # COCO-Stuff has 182 logits of which 171 are classes.
        classes = "cocostuff-182" if name.startswith("coco") else ABSENT
        facts.append(_fact("classes of the teacher", name, "teacher.classes", classes, **only))
    return tuple(facts)


_BANK: tuple[tuple[str, str, float], ...] = (
    ("--pixel-memory-size", "pixel_memory_size", 20000),
    ("--region-memory-size", "region_memory_size", 2000),
    ("--pixel-contrast-size", "pixel_contrast_size", 4096),
    ("--region-contrast-size", "region_contrast_size", 1024),
    ("--contrast-temperature", "contrast_temperature", 0.1),
    ("--contrast-kd-temperature", "contrast_kd_temperature", 1.0),
    ("pixel_update_freq", "pixel_update_freq", 16),
)
HWD = (
    *_by_data(),
    *_by_student(),
    _fact("training list", "train_aug, 10582 images", "data.train", "trainaug", data=("voc",)),
    _fact("--batch-size", "8", "data.batch_size", 8),
    _fact("--crop-size", "512,512", "augment.crop", [512, 512]),
    _fact("random scale", "0.5 + {0..15} / 10", "augment.scale", [0.5, 2.0], "drawn evenly from the range"),
    _fact("random mirror", "p 0.5", "augment.flip", 0.5),
    _fact("crop", "any", "augment.max_class_share", 1),
    _fact("widths of heads", "128 of R18 and mobile, else 256; PSP 128, 512", "student.options.family", "hwd"),
    _fact("teacher", "DeepLabV3-R101, 256 wide", "teacher.options.channels", 256, method=_TAUGHT),
    _fact("auxiliary loss", "0.4", "task.auxiliary_weight", 0.4),
    _fact("CrossEntropyLoss", "mean of valid pixels", "task.normalize", "valid"),
    _fact("optimizer", "SGD", "optimizer.method", "sgd"),
    _fact("--lr", "0.01", "optimizer.lr", 0.01),
    _fact("--momentum", "0.9", "optimizer.momentum", 0.9),
    _fact("--weight-decay", "1e-4", "optimizer.weight_decay", 0.0001),
    _fact("power", "0.9", "optimizer.power", 0.9),
    _fact("--max-iterations", "40000", "training.steps", 40000),
    _fact("--val-per-iters", "400", "training.validate_every", 400),
    _fact("checkpoint", "best on the validation split", "training.export", "best"),
    _fact("mean IoU", "absent classes count 0", "evaluation.absent", "zero"),
    _readme("factor of the loss", "3.0", "weight", 3),
    _readme("--L", "MSE", "options.distance", "mse"),
    _readme("--activation", "passed", "options.values", "activations"),
    _readme(
        "--DivPixel", "N until 2023-04-09, None since", "options.pixel_division", "N",
        "the experiment's",
    ),
    _readme("--shift", "1.0", "options.shift", 1.0),
    _readme("--process", "E", "options.process", "E"),
    _readme("--parameter", "0.1", "options.parameter", 0.1),
    _readme("temperature", "4", "options.temperature", 4),
    _fact("--lambda-logit", "3", "distill.cwd.weight", 3, method=("cwd",)),
    _fact("--temperature", "4", "distill.cwd.options.temperature", 4, method=("cwd",)),
    _fact("--lambda-kd", "1", "distill.pixel.weight", 1, method=_PIXEL),
    _fact("temperature of KD", "1", "distill.pixel.options.temperature", 1.0, method=_PIXEL),
    _fact("KLDivLoss", "mean of positions", "distill.pixel.options.reduction", "pixel", method=_PIXEL),
    _fact("--lr-d", "4e-4", "distill.adversarial.options.optimization.lr", 0.0004, method=_ADVERSARIAL),
    _fact(
        "betas of the discriminator", "0.9, 0.99", "distill.adversarial.options.optimization.betas", [0.9, 0.99],
        method=_ADVERSARIAL,
    ),
    _fact(
        "power of the discriminator's rate", "0.9", "distill.adversarial.options.optimization.power", 0.9,
        method=_ADVERSARIAL,
    ),
    _fact(
        "--preprocess-GAN-mode", "1", "distill.adversarial.options.preprocess", "batch_norm", method=_ADVERSARIAL,
    ),
    _fact("lowest rate", "0", "optimizer.floor", 0.0),
    _fact("warm-up", "none", "optimizer.warmup", 0),
    _fact("norm of CWD", "positions", "distill.cwd.options.normalize", "channel", method=("cwd",)),
    _fact("mean of IFVD", "all positions", "distill.ifvd.options.mean", "all", method=("ifvd",)),
    _fact("beta of DIST", "1", "distill.dist.options.beta", 1.0, method=("dist",)),
    _fact("gamma of DIST", "1", "distill.dist.options.gamma", 1.0, method=("dist",)),
    _fact("rows of DIST", "pixels of the batch", "distill.dist.options.rows", "positions", method=("dist",)),
    _fact("mask of MGD", "positions", "distill.mgd.options.mask", "position", method=("mgd",)),
    _fact(
        "--contrast-temperature", "0.1", "distill.cirkd_minibatch.options.temperature", 0.1, method=("cirkd",),
    ),
    *(
        _fact(parameter, str(value), f"distill.cirkd_memory.options.{option}", value, method=("cirkd",))
        for parameter, option, value in _BANK
    ),
    _fact("--lambda-adv", "0.001", "distill.adversarial.weight", 0.001, method=_ADVERSARIAL),
    _fact("adversarial loss", "hinge", "distill.adversarial.options.objective", "hinge", method=_ADVERSARIAL),
    _fact(
        "--lambda-d", "0.1", "distill.adversarial.options.discriminator_weight", 100,
        "in units of the term's weight: 0.1 / 0.001", method=_ADVERSARIAL,
    ),
    _fact("--lambda-pa", "10", "distill.pairwise.weight", 10, method=("skd",)),
    _fact("--lambda-ifv", "20", "distill.ifvd.weight", 20, method=("ifvd",)),
    _fact("factor of DIST", "1", "distill.dist.weight", 1, method=("dist",)),
    _fact("softmax of DIST", "commented out", "distill.dist.options.normalize", "none", method=("dist",)),
    _fact("--alpha-mgd", "2e-5", "distill.mgd.weight", 0.00002, method=("mgd",)),
    _fact("--lambda-mgd", "0.75", "distill.mgd.options.masked", 0.75, method=("mgd",)),
    _fact("--lambda-minibatch-pixel", "1", "distill.cirkd_minibatch.weight", 1, method=("cirkd",)),
    _fact(
        "images of one GPU", "8 / 4", "distill.cirkd_minibatch.options.images_per_group", 2, method=("cirkd",)
    ),
    _fact(
        "factor of both memories", "0.1", "distill.cirkd_memory.weight", 1,
        "the factors are options", method=("cirkd",),
    ),
    _fact("--lambda-memory-pixel", "0.1", "distill.cirkd_memory.options.pixel_weight", 0.1, method=("cirkd",)),
    _fact("--lambda-memory-region", "0.1", "distill.cirkd_memory.options.region_weight", 0.1, method=("cirkd",)),
    *_tap("pairwise", "skd"),
    *_tap("ifvd", "ifvd"),
    *_tap("mgd", "mgd"),
    *_tap("cirkd_minibatch", "cirkd"),
    *_tap("cirkd_memory", "cirkd"),
)  # fmt: skip
