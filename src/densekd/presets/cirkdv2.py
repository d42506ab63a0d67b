"""Presets of CIRKDv2: nine students on four data sets, alone and by all of its relations."""

from densekd.presets.dilated import (
    WEIGHTS,
    Student,
    adamw,
    augmentation,
    data_section,
    on_features,
    pixel,
    relations,
    schedule,
    sgd,
)
from densekd.presets.preset import Preset, Section, Term, make_recipe

_TEACHERS = "checkpoints/cirkdv2"
_DIFFERS = (
    "random factors are drawn evenly from the range, not from steps of 0.1",
    "the memory takes up each class's own pixels; as released it takes the first of the image",
    "the gradients of context block and adapters are averaged over all processes; as released each has its own",
    "pixel accuracy is that of the logits; as released it is that of logits cut to integers",
)
_COCOSTUFF = "the student tells the 171 classes of the data apart; the original 182, of which 11 never occur"
_CIRKDV2 = {"family": "cirkdv2"}
_R18 = f"{WEIGHTS}/resnet18-imagenet.pth"
_MBV3S = f"{WEIGHTS}/mobilenet_v3_small-47085aa1.pth"
_MBV3L = f"{WEIGHTS}/mobilenet_v3_large-bc2c3fd3.pth"
_MOBILEVIT = f"{WEIGHTS}/mobilevit-xxsmall_3rdparty_in1k_20221018-77835605.pth"
_SMALL = {"backbone": "mobilenetv3_small_100", **_CIRKDV2}
_LARGE = {"backbone": "mobilenetv3_large_100", **_CIRKDV2}
_VIT = {"backbone": "mobilevit_xxs", **_CIRKDV2}
STUDENTS = {
    "r18": Student("DeepLabV3-R18", "deeplabv3", {"backbone": "resnet18", **_CIRKDV2}, _R18, 512, True),
    "upernet-r18": Student("UPerNet-R18 (lite)", "upernet_lite", {"backbone": "resnet18", **_CIRKDV2}, _R18, 128, True),
    "mbv3s": Student("DeepLabV3-MobileNetV3-Small", "deeplabv3_mobile", _SMALL, _MBV3S, 128),
    "mbv3l": Student("DeepLabV3-MobileNetV3-Large", "deeplabv3_mobile", _LARGE, _MBV3L, 128),
    "psp-mbv3s": Student("PSPNet-MobileNetV3-Small", "psp_mobile", _SMALL, _MBV3S, 128),
    "psp-mbv3l": Student("PSPNet-MobileNetV3-Large", "psp_mobile", _LARGE, _MBV3L, 128),
    "mobilevit": Student("DeepLabV3-MobileViT-XXS", "deeplabv3_mobile", _VIT, _MOBILEVIT, 128),
    "psp-mobilevit": Student("PSPNet-MobileViT-XXS", "psp_mobile", _VIT, _MOBILEVIT, 128),
    "b0": Student(
        "SegFormer-B0", "segformer", {"backbone": "mit_b0", "family": "cirkd"}, f"{WEIGHTS}/mit_b0.pth", 256
    ),
}
# The names of its scripts.
_SCRIPTS = {
    "r18": "deeplabv3_resnet18", "upernet-r18": "upernet_resnet18", "mbv3s": "deeplabv3_mobilenetv3_small",
    "mbv3l": "deeplabv3_mobilenetv3_large", "psp-mbv3s": "pspnet_mobilenetv3_small",
    "psp-mbv3l": "pspnet_mobilenetv3_large", "mobilevit": "deeplabv3_mobilevit_xxs",
    "psp-mobilevit": "pspnet_mobilevit_xxs", "b0": "segformer_b0",
}  # fmt: skip
_FOLDERS = {"citys": "cityscapes", "ade20k": "ade20k", "voc": "pascal_voc", "coco_stuff_164k": "coco_stuff_164k"}
# lambda_fitnet, mIoU alone, mIoU by CIRKDv2; on Cityscapes those of the test split.
_RUNS: dict[str, dict[str, tuple[int, str, str]]] = {
    "citys": {
        "r18": (1, "73.56", "75.60"), "upernet-r18": (1, "68.90", "72.11"), "mbv3s": (1, "65.05", "67.62"),
        "psp-mbv3s": (10, "62.78", "65.42"), "mobilevit": (10, "66.24", "68.91"),
        "psp-mobilevit": (1, "65.48", "68.45"), "b0": (1, "74.12", "75.52"),
    },
    "ade20k": {
        "r18": (1, "36.92", "39.82"), "upernet-r18": (10, "34.37", "36.87"), "mbv3l": (10, "32.83", "36.14"),
        "psp-mbv3l": (1, "33.63", "36.01"),
    },
    "voc": {
        "mbv3s": (10, "62.45", "64.67"), "mbv3l": (10, "69.33", "71.90"), "psp-mbv3s": (10, "61.92", "63.84"),
        "psp-mbv3l": (10, "68.77", "71.55"),
    },
    "coco_stuff_164k": {
        "r18": (10, "32.65", "34.42"), "mbv3s": (1, "26.04", "27.66"), "mbv3l": (10, "30.31", "32.14"),
        "psp-mbv3s": (10, "26.48", "28.28"),
    },
}  # fmt: skip


def _terms(student: str, fitnet_weight: int) -> list[Term]:
    """Return all of its relations; they read the context block's output, which SegFormer goes without."""
    context, after, memory = "graph-context", "graph-context-conv", {}
    if student == "b0":
        context, after, memory = "", "conv", {"pixel_memory_size": 2000}
    channels = on_features(
        "cirkd_channel", 1, context, channel_memory_size=10000, channel_contrast_size=2048,
        contrast_temperature=0.1, contrast_kd_temperature=1, batch_weight=1, memory_weight=0.1, mse_weight=100,
    )  # fmt: skip
    fitnet = on_features("fitnet", fitnet_weight, after)
    return [pixel(), fitnet, *relations(0.1, context, **memory), channels]


def _sections(student: str, data: str) -> dict[str, Section]:
    """Return what alone and distilled trainings share."""
    of = STUDENTS[student]
    is_city = data == "citys"
    teacher = "segformer_MiT_B4" if student == "b0" else "deeplabv3_resnet101"
    sections = {
        "data": data_section(data, 8 if is_city else 16),
        "augment": augmentation((512, 1024) if is_city else (512, 512)),
        "student": of.section,
        "teacher": {"checkpoint": f"{_TEACHERS}/{teacher}_{data}_best_model.pth"},
        "task": of.task,
        "evaluation": {"absent": "zero"},
        "optimizer": sgd(0.01 if is_city else 0.02),
        "training": schedule(80000, 800),
    }
    if "mobilevit" in student:
        sections["optimizer"] = adamw(0.0009, 0.01)
    if student == "b0":
        sections["data"] = data_section(data, 8, 16)
        sections["augment"] = augmentation((1024, 1024))
        # Two halves of the image, side by side, as eval_segformer.py scores it.
        sections["evaluation"] = {"absent": "zero", "crop": [1024, 1024], "stride": [1024, 1024]}
        sections["optimizer"] = adamw(0.0002, 0.0001)
        sections["training"] = schedule(160000, 800)
    return sections


def _preset(student: str, data: str, alone: bool) -> Preset:
    fitnet_weight, baseline, distilled = _RUNS[data][student]
    sections = _sections(student, data)
    folder = f"{_FOLDERS[data]}/{_SCRIPTS[student]}.sh"
    name = f"cirkdv2-{student}" if data == "citys" else f"cirkdv2-{student}-{data}"
    if alone:
        del sections["teacher"]
        name = f"{name}-baseline"
        if data == "coco_stuff_164k":
            sections["training"] = schedule(80000, 80000)
    else:
        sections["distill"] = _terms(student, fitnet_weight)
    teacher = "SegFormer-B4" if student == "b0" else "DeepLabV3-R101"
    split = "test" if data == "citys" else "val"
    return Preset(
        name=name,
        system="CIRKDv2",
        student=STUDENTS[student].title,
        teacher="" if alone else teacher,
        method="baseline" if alone else "CIRKDv2",
        data=sections["data"]["dataset"],
        source=f"scripts/{'train_baseline' if alone else 'train_cirkdv2'}/{folder}",
        recipe=make_recipe(name, sections),
        published=f"mIoU {baseline if alone else distilled} ({split})",
        differs=(*_DIFFERS, _COCOSTUFF) if data == "coco_stuff_164k" else _DIFFERS,
        file="cityscapes/cirkdv2-r18" if name == "cirkdv2-r18" else "",
    )


def cirkdv2() -> list[Preset]:
    """Return the presets of CIRKD's second version."""
    presets = []
    for data, students in _RUNS.items():
        for student in students:
            presets.append(_preset(student, data, alone=True))
            presets.append(_preset(student, data, alone=False))
    return presets
