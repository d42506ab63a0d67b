"""CIRKD, version 1 (arXiv 2203.13248) and version 2: relations across images, and its comparisons."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from densekd.presets.parts import DATA, Content, both, term
from densekd.presets.preset import Preset

# What the original calls features comes from behind the dropout of the head.
_TAPS = both("head.dropout")
_PIXEL = term("pixel", 1)
# The discriminator's rate stays, and its weight is 0.1, 100 times that of the student's part.
_ADVERSARIAL = term(
    "adversarial",
    0.001,
    {"objective": "hinge", "discriminator_weight": 100, "optimization": {"power": 0}},
)
_CROPS: Mapping[str, list[int]] = {"citys": [512, 1024], "camvid": [360, 360]}
_DIFFERS = "random factors are drawn evenly from the range, not from steps of 0.1"


@dataclass(frozen=True)
class Student:
    """A student of CIRKD.

    Args:
        title: as the README calls it.
        model: name in ``MODELS``, its options, and the file of its backbone.
        channels: width of the features before its classifier.
    """

    title: str
    model: str
    options: Content
    backbone: str
    channels: int


def _cnn(title: str, model: str, backbone: str, file: str, channels: int, family: str) -> Student:
    return Student(title, model, {"backbone": backbone, "family": family}, file, channels)


_R18, _MBV2 = "resnet18-imagenet.pth", "mobilenetv2-imagenet.pth"
_SMALL, _LARGE = "mobilenet_v3_small-47085aa1.pth", "mobilenet_v3_large-bc2c3fd3.pth"
_VIT = "mobilevit-xxsmall_3rdparty_in1k_20221018-77835605.pth"
_B0 = Student("SegFormer-B0", "segformer", {"backbone": "mit_b0", "family": "cirkd"}, "mit_b0.pth", 256)
# Version 1 has the head widths of HWD.
STUDENTS_V1 = {
    "r18": _cnn("DeepLabV3-R18", "deeplabv3", "resnet18", _R18, 128, "hwd"),
    "psp-r18": _cnn("PSPNet-R18", "pspnet", "resnet18", _R18, 128, "hwd"),
    "mbv2": _cnn("DeepLabV3-MBV2", "deeplabv3_mobile", "mobilenetv2_100", _MBV2, 128, "hwd"),
    "segformer-b0": _B0,
}
STUDENTS_V2 = {
    "r18": _cnn("DeepLabV3-R18", "deeplabv3", "resnet18", _R18, 512, "cirkdv2"),
    "upernet-r18": _cnn("UPerNet-R18 (lite)", "upernet_lite", "resnet18", _R18, 128, "cirkdv2"),
    "mbv3s": _cnn("DeepLabV3-MBV3-Small", "deeplabv3_mobile", "mobilenetv3_small_100", _SMALL, 128, "cirkdv2"),
    "mbv3l": _cnn("DeepLabV3-MBV3-Large", "deeplabv3_mobile", "mobilenetv3_large_100", _LARGE, 128, "cirkdv2"),
    "psp-mbv3s": _cnn("PSPNet-MBV3-Small", "psp_mobile", "mobilenetv3_small_100", _SMALL, 128, "cirkdv2"),
    "psp-mbv3l": _cnn("PSPNet-MBV3-Large", "psp_mobile", "mobilenetv3_large_100", _LARGE, 128, "cirkdv2"),
    "mobilevit": _cnn("DeepLabV3-MobileViT-XXS", "deeplabv3_mobile", "mobilevit_xxs", _VIT, 128, "cirkdv2"),
    "psp-mobilevit": _cnn("PSPNet-MobileViT-XXS", "psp_mobile", "mobilevit_xxs", _VIT, 128, "cirkdv2"),
    "segformer-b0": _B0,
}
_METHODS_V1 = ("baseline", "kd", "skd", "ifvd", "cwd", "dsd", "at", "fitnet", "cirkd")
_SETS_V1 = {"r18": ("citys", "voc", "camvid", "ade20k", "coco_stuff_164k"), "psp-r18": ("citys", "voc", "camvid")}
# Which student is trained on which data, and the weight of FitNet's term there.
_SETS_V2: Mapping[str, Mapping[str, float]] = {
    "r18": {"citys": 1, "ade20k": 1, "coco_stuff_164k": 10},
    "upernet-r18": {"citys": 1, "ade20k": 10},
    "mbv3s": {"citys": 1, "voc": 10, "coco_stuff_164k": 1},
    "mbv3l": {"ade20k": 10, "voc": 10, "coco_stuff_164k": 10},
    "psp-mbv3s": {"citys": 10, "voc": 10, "coco_stuff_164k": 10},
    "psp-mbv3l": {"ade20k": 1, "voc": 10},
    "mobilevit": {"citys": 10},
    "psp-mobilevit": {"citys": 1},
    "segformer-b0": {"citys": 1},
}
# The scripts' names of students and data.
_SCRIPTS_1: Mapping[str, str] = {
    "r18": "deeplabv3_res18",
    "psp-r18": "pspnet_res18",
    "mbv2": "deeplabv3_mbv2",
    "segformer-b0": "segformer_mit_b0",
}
_SCRIPTS_2: Mapping[str, str] = {
    "r18": "deeplabv3_resnet18",
    "upernet-r18": "upernet_resnet18",
    "mbv3s": "deeplabv3_mobilenetv3_small",
    "mbv3l": "deeplabv3_mobilenetv3_large",
    "psp-mbv3s": "pspnet_mobilenetv3_small",
    "psp-mbv3l": "pspnet_mobilenetv3_large",
    "mobilevit": "deeplabv3_mobilevit_xxs",
    "psp-mobilevit": "pspnet_mobilevit_xxs",
    "segformer-b0": "segformer_b0",
}
_FOLDERS_2: Mapping[str, str] = {
    "citys": "cityscapes",
    "ade20k": "ade20k",
    "voc": "pascal_voc",
    "coco_stuff_164k": "coco_stuff_164k",
}
# Scores of the READMEs: mIoU on the validation split in version 1; in version 2 on Cityscapes'
# test split, and on the others' validation splits.
_PUBLISHED: Mapping[str, str] = {
    "cirkd-r18-baseline": "74.21", "cirkd-r18-skd": "75.42", "cirkd-r18-ifvd": "75.59",
    "cirkd-r18-cwd": "75.55", "cirkd-r18-dsd": "74.81", "cirkd-r18-cirkd": "76.38",
    "cirkd-mbv2-baseline": "73.12", "cirkd-mbv2-skd": "73.82", "cirkd-mbv2-ifvd": "73.50",
    "cirkd-mbv2-cwd": "74.66", "cirkd-mbv2-dsd": "74.11", "cirkd-mbv2-cirkd": "75.42",
    "cirkd-psp-r18-baseline": "72.55", "cirkd-psp-r18-cirkd": "74.73",
    "cirkd-segformer-b0-baseline": "75.58", "cirkd-segformer-b0-skd": "76.43",
    "cirkd-segformer-b0-ifvd": "76.30", "cirkd-segformer-b0-cwd": "74.80",
    "cirkd-segformer-b0-dsd": "76.62", "cirkd-segformer-b0-cirkd": "76.92",
    "cirkd-r18-voc-baseline": "73.21", "cirkd-r18-voc-cirkd": "74.50",
    "cirkd-psp-r18-voc-baseline": "73.33", "cirkd-psp-r18-voc-cirkd": "74.78",
    "cirkd-r18-camvid-baseline": "66.92", "cirkd-r18-camvid-cirkd": "68.21",
    "cirkd-psp-r18-camvid-baseline": "66.73", "cirkd-psp-r18-camvid-cirkd": "68.65",
    "cirkd-r18-ade20k-baseline": "33.91", "cirkd-r18-ade20k-cirkd": "35.41",
    "cirkd-r18-coco_stuff_164k-baseline": "32.60", "cirkd-r18-coco_stuff_164k-cirkd": "33.11",
    "cirkdv2-r18-baseline": "73.56", "cirkdv2-r18": "75.60",
    "cirkdv2-r18-ade20k-baseline": "36.92", "cirkdv2-r18-ade20k": "39.82",
    "cirkdv2-r18-coco_stuff_164k-baseline": "32.65", "cirkdv2-r18-coco_stuff_164k": "34.42",
    "cirkdv2-upernet-r18-baseline": "68.90", "cirkdv2-upernet-r18": "72.11",
    "cirkdv2-upernet-r18-ade20k-baseline": "34.37", "cirkdv2-upernet-r18-ade20k": "36.87",
    "cirkdv2-mbv3s-baseline": "65.05", "cirkdv2-mbv3s": "67.62",
    "cirkdv2-mbv3s-voc-baseline": "62.45", "cirkdv2-mbv3s-voc": "64.67",
    "cirkdv2-mbv3s-coco_stuff_164k-baseline": "26.04", "cirkdv2-mbv3s-coco_stuff_164k": "27.66",
    "cirkdv2-psp-mbv3s-baseline": "62.78", "cirkdv2-psp-mbv3s": "65.42",
    "cirkdv2-psp-mbv3s-voc-baseline": "61.92", "cirkdv2-psp-mbv3s-voc": "63.84",
    "cirkdv2-psp-mbv3s-coco_stuff_164k-baseline": "26.48", "cirkdv2-psp-mbv3s-coco_stuff_164k": "28.28",
    "cirkdv2-mobilevit-baseline": "66.24", "cirkdv2-mobilevit": "68.91",
    "cirkdv2-psp-mobilevit-baseline": "65.48", "cirkdv2-psp-mobilevit": "68.45",
    "cirkdv2-mbv3l-ade20k-baseline": "32.83", "cirkdv2-mbv3l-ade20k": "36.14",
    "cirkdv2-mbv3l-voc-baseline": "69.33", "cirkdv2-mbv3l-voc": "71.90",
    "cirkdv2-mbv3l-coco_stuff_164k-baseline": "30.31", "cirkdv2-mbv3l-coco_stuff_164k": "32.14",
    "cirkdv2-psp-mbv3l-ade20k-baseline": "33.63", "cirkdv2-psp-mbv3l-ade20k": "36.01",
    "cirkdv2-psp-mbv3l-voc-baseline": "68.77", "cirkdv2-psp-mbv3l-voc": "71.55",
    "cirkdv2-segformer-b0-baseline": "74.12", "cirkdv2-segformer-b0": "75.52",
}  # fmt: skip


def presets() -> Iterator[Preset]:
    """Return the experiments of both versions."""
    for short, student in STUDENTS_V1.items():
        for data in _SETS_V1.get(short, ("citys",)):
            # The comparisons are made on Cityscapes; on other data there are two scripts.
            methods = _METHODS_V1 if data == "citys" else ("baseline", "cirkd")
            for method in methods:
                yield _version_1(short, student, data, method)
    for short, sets in _SETS_V2.items():
        for data in sets:
            for method in ("baseline", "cirkdv2"):
                yield _version_2(short, STUDENTS_V2[short], data, method)


def teacher_of(system: str, data: str, transformer: bool, channels: int) -> Content:
    """Return the teacher of a CNN or of a SegFormer.

    Args:
        system: folder of the file, ``cirkd`` or ``cirkdv2``.
        data: the project's name of the data.
        transformer: SegFormer-B4 teaches, not DeepLabV3-R101.
        channels: width of DeepLabV3's head, which tells two files of one name apart.
    """
    name = "segformer_MiT_B4" if transformer else "deeplabv3_resnet101"
    content: Content = {"checkpoint": f"checkpoints/{system}/{name}_{data}_best_model.pth"}
    if not transformer:
        content["options"] = {"channels": channels}
    if data == "coco_stuff_164k":
        content["classes"] = "cocostuff-182"
    return content


def _version_1(short: str, student: Student, data: str, method: str) -> Preset:
    name = "-".join(["cirkd", short, *_unless(data, "citys"), method])
    transformer = student.model == "segformer"
    content = _recipe(name, "cirkd", student, data)
    content["training"] |= {"steps": 80000 if data == "coco_stuff_164k" else 40000}
    content["data"] |= {"batch_size": 16}
    if transformer:
        _as_segformer(content)
    if method != "baseline":
        content["teacher"] = teacher_of("cirkd", data, transformer, 256)
        content["distill"] = _terms(method, data, student)
    if method == "baseline" and data == "ade20k":
        # Its script says no size, and the trainer's is that of Cityscapes.
        content["augment"] |= {"crop": _CROPS["citys"]}
    return _preset(name, "cirkd", student, data, method, _script_1(short, data, method), content)


def _script_1(short: str, data: str, method: str) -> str:
    """Return the script of an experiment of version 1; a few have none of their own."""
    if method in ("baseline", "cirkd"):
        return f"train_scripts/train_{method}/{data}/{_SCRIPTS_1[short]}.sh"
    if short == "psp-r18" or method == "kd" or (short == "segformer-b0" and method in ("at", "fitnet")):
        trainer = "train_kd_segformer.py" if short == "segformer-b0" else "train_kd.py"
        return f"{trainer} with the weights of train_{method}.sh; no script of its own"
    folder = "scripts" if method == "fitnet" else "train_scripts"
    return f"{folder}/train_kd/train_{method}.sh"


def _terms(method: str, data: str, student: Student) -> list[Content]:
    """Return the terms of one script of version 1."""
    transformer = student.model == "segformer"
    taps = dict(_TAPS)
    if method == "kd":
        return [_PIXEL]
    if method == "skd":
        return [_PIXEL, _ADVERSARIAL, term("pairwise", 10, **taps)]
    if method == "ifvd":
        return [_PIXEL, _ADVERSARIAL, term("ifvd", 20, **taps)]
    if method == "at":
        return [_PIXEL, term("at", 10000, **taps)]
    if method == "fitnet":
        return [_PIXEL, term("fitnet", 10, **taps, adapter="conv")]
    if method == "dsd":
        compared = ["head.dropout", "logits"] if transformer else ["aux", "head.dropout", "logits"]
        levels = both(compared)
        if student.options["backbone"].startswith("mobilenet"):
            # Without auxiliary logits its list has the logits twice, beside the teacher's auxiliary ones.
            levels["student"] = ["logits", *compared[1:]]
        return [term("dsd", 1000, {"category_weight": 0.01}, **levels)]
    if method == "cwd":
        # The original divides by the student's channels, of which the adapter makes the teacher's.
        widths = (768, 256) if transformer else (256, student.channels)
        features, logits = (5, 0.3) if transformer else (50, 3)
        weight = features * widths[0] / widths[1]
        return [
            _PIXEL,
            _ADVERSARIAL,
            term("cwd", weight, {"temperature": 4}, **taps, adapter="conv"),
            term("cwd", logits, {"temperature": 4}),
        ]
    return _relations(data, transformer)


def _relations(data: str, transformer: bool) -> list[Content]:
    """Return the terms of CIRKD itself, version 1."""
    # Two images of a process are compared with each other, one of SegFormer's.
    group = 1 if transformer else 2
    memory = {"pixel_weight": 0.1, "region_weight": 0.1}
    if data == "voc":
        memory = {"pixel_weight": 0.01, "region_weight": 0.01}
    if transformer:
        memory["pixel_memory_size"] = 2000
    return [
        _PIXEL,
        term("cirkd_minibatch", 1, {"images_per_group": group}, **_TAPS),
        term("cirkd_memory", 1, memory, **_TAPS),
    ]


def _version_2(short: str, student: Student, data: str, method: str) -> Preset:
    suffix = ["baseline"] if method == "baseline" else []
    name = "-".join(["cirkdv2", short, *_unless(data, "citys"), *suffix])
    transformer = student.model == "segformer"
    content = _recipe(name, "cirkdv2", student, data)
    city = data == "citys"
    content["data"] |= {"batch_size": 8 if city else 16}
    content["training"] |= {"steps": 80000}
    content["optimizer"] |= {"lr": 0.01 if city else 0.02}
    if method == "baseline" and data == "coco_stuff_164k":
        content["training"] |= {"validate_every": 80000}
    if transformer:
        _as_segformer(content)
    if "mobilevit" in short:
        content["optimizer"] = {"method": "adamw", "lr": 0.0009, "weight_decay": 0.01, "power": 0.9}
    if method == "cirkdv2":
        content["teacher"] = teacher_of("cirkdv2", data, transformer, 512)
        # Eight processes, or four for VOC, share the batch.
        group = content["data"]["batch_size"] // (4 if data == "voc" else 8)
        content["distill"] = _terms_2(_SETS_V2[short][data], group, transformer)
    source = f"scripts/train_{method}/{_FOLDERS_2[data]}/{_SCRIPTS_2[short]}.sh"
    return _preset(name, "cirkdv2", student, data, method, source, content)


def _terms_2(fitnet: float, group: int, transformer: bool) -> list[Content]:
    # The context block is commented out in the trainer of SegFormer.
    block: Content = {} if transformer else {"adapter": "graph-context"}
    conv = "conv" if transformer else "graph-context-conv"
    memory: Content = {"pixel_weight": 0.1, "region_weight": 0.1}
    if transformer:
        memory["pixel_memory_size"] = 2000
    channel = {
        "batch_weight": 1,
        "memory_weight": 0.1,
        "mse_weight": 100,
        "images_per_group": group,
    }
    return [
        _PIXEL,
        term("fitnet", fitnet, **_TAPS, adapter=conv),
        term("cirkd_minibatch", 1, {"images_per_group": group}, **_TAPS, **block),
        term("cirkd_memory", 1, memory, **_TAPS, **block),
        term("cirkd_channel", 1, channel, **_TAPS, **block),
    ]


def _recipe(name: str, system: str, student: Student, data: str) -> Content:
    """Return what both versions share, of a student alone."""
    return {
        "name": name,
        "data": {**DATA[data], "batch_size": 16, "workers": 8},
        "augment": {
            "crop": _CROPS.get(data, [512, 512]),
            "scale": [0.5, 2.0],
            "flip": 0.5,
            "max_class_share": 1,
        },
        "student": {
            "model": student.model,
            "options": dict(student.options),
            "pretrained": f"checkpoints/cirkd/{student.backbone}",
        },
        "task": {"auxiliary_weight": 0.4, "normalize": "valid"},
        "optimizer": {
            "method": "sgd",
            "lr": 0.02,
            "momentum": 0.9,
            "weight_decay": 0.0001,
            "power": 0.9,
        },
        "training": {"steps": 40000, "precision": 32, "validate_every": 800, "checkpoint_every": 800, "export": "best"},
        "evaluation": {"absent": "zero"},
    }


def _as_segformer(content: Content) -> None:
    """Change what the trainers of SegFormer do otherwise."""
    content["data"]["batch_size"] = 8
    content["augment"]["crop"] = [1024, 1024]
    content["optimizer"] = {"method": "adamw", "lr": 0.0002, "weight_decay": 0.0001, "power": 0.9}
    content["training"]["steps"] = 160000
    content["evaluation"] |= {"crop": [1024, 1024], "stride": [1024, 1024]}


def _unless(value: str, default: str) -> list[str]:
    return [] if value == default else [value]


def _preset(
    name: str,
    system: str,
    student: Student,
    data: str,
    method: str,
    source: str,
    content: Content,
) -> Preset:
    # Taught students are written teacher before terms, as everywhere.
    order = ("name", "data", "augment", "student", "teacher", "distill", "task", "optimizer")
    ordered = {key: content[key] for key in (*order, "training", "evaluation") if key in content}
    teacher = "SegFormer-B4" if student.model == "segformer" else "DeepLabV3-R101"
    score = _PUBLISHED.get(name, "")
    return Preset(
        name=name,
        system=system,
        student=student.title,
        teacher="" if method == "baseline" else teacher,
        method=method,
        data=data,
        source=source,
        published=f"{score} mIoU" if score else "",
        differs=_DIFFERS,
        content=ordered,
    )
