"""HWD: holistic weighted distillation, and the methods that its repository compares it with."""

from collections.abc import Iterator, Mapping

from densekd.presets.parts import DATA, Content, both, term
from densekd.presets.preset import Preset

# What the original calls features comes from behind the dropout of the head.
_TAPS = both("head.dropout")
_PIXEL = term("pixel", 1)
# The discriminator's rate decays with the student's; its weight is 0.1.
_ADVERSARIAL = term("adversarial", 0.001, {"objective": "hinge", "discriminator_weight": 100})
_R18, _R50, _R101 = "resnet18-imagenet.pth", "resnet50-imagenet.pth", "resnet101-imagenet.pth"
# Name -> model, backbone, its file, width of the features before the classifier.
STUDENTS: Mapping[str, tuple[str, str, str, int]] = {
    "r18": ("deeplabv3", "resnet18", _R18, 128),
    "r50": ("deeplabv3", "resnet50", _R50, 256),
    "r101": ("deeplabv3", "resnet101", _R101, 256),
    "mobile": ("deeplabv3_mobile", "mobilenetv2_100", "mobilenetv2-imagenet.pth", 128),
    "psp-r18": ("pspnet", "resnet18", _R18, 128),
    "psp-r50": ("pspnet", "resnet50", _R50, 512),
    "psp-r101": ("pspnet", "resnet101", _R101, 512),
    "psp-mobile": ("psp_mobile", "mobilenetv2_100", "mobilenetv2-imagenet.pth", 128),
}
_METHODS: Mapping[str, list[Content]] = {
    "baseline": [],
    "hwd": [
        term(
            "hwd",
            3,
            {
                "distance": "mse",
                "values": "activations",
                "pixel_division": "N",
                "shift": 1.0,
                "process": "E",
                "parameter": 0.1,
                "temperature": 4,
            },
        )
    ],
    "cwd": [term("cwd", 3, {"temperature": 4})],
    "skd": [_PIXEL, _ADVERSARIAL, term("pairwise", 10, **_TAPS)],
    "ifvd": [_PIXEL, _ADVERSARIAL, term("ifvd", 20, **_TAPS)],
    "dist": [term("dist", 1, {"normalize": "none"})],
    "mgd": [term("mgd", 0.00002, {"masked": 0.75}, **_TAPS)],
    "cirkd": [
        _PIXEL,
        term("cirkd_minibatch", 1, {"images_per_group": 2}, **_TAPS),
        term("cirkd_memory", 1, {"pixel_weight": 0.1, "region_weight": 0.1}, **_TAPS),
    ],
}
_DIFFERS = "random factors are drawn evenly from the range, not from steps of 0.1"
_DIV_PIXEL = (
    "the repository's page says DivPixel None since 2023-04-09; the experiment's earlier N stands "
    "here, options.pixel_division: none is the other"
)


def presets() -> Iterator[Preset]:
    """Return every student on every data set with every trainer."""
    for short in STUDENTS:
        for data in DATA:
            for method in _METHODS:
                yield _preset(short, data, method)


def _preset(short: str, data: str, method: str) -> Preset:
    model, backbone, file, _ = STUDENTS[short]
    name = _name(short, data, method)
    content: Content = {
        "name": name,
        "data": {**DATA[data], "batch_size": 8, "workers": 8},
        "augment": {"crop": [512, 512], "scale": [0.5, 2.0], "flip": 0.5, "max_class_share": 1},
        "student": {
            "model": model,
            "options": {"backbone": backbone, "family": "hwd"},
            "pretrained": f"checkpoints/cirkd/{file}",
        },
    }
    if method != "baseline":
        content["teacher"] = _teacher(data)
        content["distill"] = _METHODS[method]
    content |= {
        "task": {"auxiliary_weight": 0.4, "normalize": "valid"},
        "optimizer": {
            "method": "sgd",
            "lr": 0.01,
            "momentum": 0.9,
            "weight_decay": 0.0001,
            "power": 0.9,
        },
        "training": {"steps": 40000, "precision": 32, "validate_every": 400, "checkpoint_every": 400, "export": "best"},
        "evaluation": {"absent": "zero"},
    }
    return Preset(
        name=name,
        system="hwd",
        student=f"{model}-{backbone}",
        teacher="" if method == "baseline" else "DeepLabV3-R101",
        method=method,
        data=data,
        source=f"train_{method}.py --dataset {data}",
        published="",
        differs="; ".join(_differs(short, data, method)),
        content=content,
    )


def _name(short: str, data: str, method: str) -> str:
    """Name a preset; Cityscapes and HWD itself go without saying."""
    parts = ["hwd", short]
    if data != "citys":
        parts.append(data)
    if method != "hwd":
        parts.append(method)
    return "-".join(parts)


def _differs(short: str, data: str, method: str) -> Iterator[str]:
    """Return what one recipe does otherwise, or what its original has to be known for."""
    if method == "hwd":
        yield _DIV_PIXEL
    # Their modules turn 128 channels into 256.
    if method in ("cwd", "mgd", "cirkd") and STUDENTS[short][-1] != 128:
        yield f"train_{method}.py is written for features of 128 channels and stops with others"
    if data == "camvid":
        yield "the original has no CamVid; its settings of other data"
    if data == "coco_stuff_10k":
        yield "the original has the 164k images alone, and so has the teacher"
    if data == "coco_stuff_164k" and method == "hwd":
        yield "train_hwd.py offers no coco, the other trainers do"
    if "resnet50" in STUDENTS[short][1]:
        yield "its pretrained ResNet-50 is not published"
    yield _DIFFERS


def _teacher(data: str) -> Content:
    # Teachers of CIRKD version 1 where it has the data; the others its authors trained themselves.
    places = {
        "ade20k": "checkpoints/hwd/deeplabv3_resnet101_ade20k_best_model.pth",
        "coco_stuff_164k": "checkpoints/hwd/deeplabv3_resnet101_coco_best_model.pth",
        "coco_stuff_10k": "checkpoints/hwd/deeplabv3_resnet101_coco_best_model.pth",
    }
    published = f"checkpoints/cirkd/deeplabv3_resnet101_{data}_best_model.pth"
    content: Content = {"options": {"channels": 256}, "checkpoint": places.get(data, published)}
    if data.startswith("coco_stuff"):
        content["classes"] = "cocostuff-182"
    return content
