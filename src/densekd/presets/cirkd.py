"""Presets of CIRKD: its first version's students and methods on five data sets."""

from densekd.presets.dilated import (
    WEIGHTS,
    Student,
    adamw,
    adversarial,
    augmentation,
    data_section,
    on_features,
    on_logits,
    pixel,
    relations,
    schedule,
    sgd,
)
from densekd.presets.preset import Preset, Section, Term, make_recipe

_DIFFERS = (
    "random factors are drawn evenly from the range, not from steps of 0.1",
    "the memory takes up each class's own pixels; as released it takes the first of the image",
    "pixel accuracy is that of the logits; as released it is that of logits cut to integers",
)
STUDENTS = {
    "r18": Student(
        "DeepLabV3-R18", "deeplabv3", {"backbone": "resnet18", "family": "cirkd"}, f"{WEIGHTS}/resnet18-imagenet.pth",
        128, True,
    ),
    "mbv2": Student(
        "DeepLabV3-MobileNetV2", "deeplabv3_mobile", {"backbone": "mobilenetv2_100", "family": "cirkd"},
        f"{WEIGHTS}/mobilenetv2-imagenet.pth", 128,
    ),
    "psp-r18": Student(
        "PSPNet-R18", "pspnet", {"backbone": "resnet18", "family": "cirkd"}, f"{WEIGHTS}/resnet18-imagenet.pth", 128,
        True,
    ),
    "b0": Student(
        "SegFormer-B0", "segformer", {"backbone": "mit_b0", "family": "cirkd"}, f"{WEIGHTS}/mit_b0.pth", 256,
    ),
}  # fmt: skip
# Channels of the teachers' features before the classifier.
_TEACHER_WIDTH = {"DeepLabV3-R101": 256, "SegFormer-B4": 768}
_METHODS = {
    "at": ("AT", "train_scripts/train_kd/train_at.sh"),
    "fitnet": ("FitNet", "scripts/train_kd/train_fitnet.sh"),
    "skd": ("SKD", "train_scripts/train_kd/train_skd.sh"),
    "ifvd": ("IFVD", "train_scripts/train_kd/train_ifvd.sh"),
    "cwd": ("CWD", "train_scripts/train_kd/train_cwd.sh"),
    "dsd": ("DSD", "train_scripts/train_kd/train_dsd.sh"),
}
# Validation mIoU on Cityscapes, as the README has them.
_CITYSCAPES = {
    "r18": {
        "baseline": "74.21", "skd": "75.42", "ifvd": "75.59", "cwd": "75.55", "dsd": "74.81", "cirkd": "76.38",
    },
    "mbv2": {
        "baseline": "73.12", "skd": "73.82", "ifvd": "73.50", "cwd": "74.66", "dsd": "74.11", "cirkd": "75.42",
    },
    "psp-r18": {"baseline": "72.55", "cirkd": "74.73"},
    "b0": {
        "baseline": "75.58", "skd": "76.43", "ifvd": "76.30", "cwd": "74.80", "dsd": "76.62", "cirkd": "76.92",
    },
}  # fmt: skip
# Crop, steps, weight of the memory, then students with their mIoU alone and by CIRKD.
_OTHERS: dict[str, tuple[tuple[int, int], int, float, dict[str, tuple[str, str]]]] = {
    "voc": ((512, 512), 40000, 0.01, {"r18": ("73.21", "74.50"), "psp-r18": ("73.33", "74.78")}),
    "camvid": ((360, 360), 40000, 0.1, {"r18": ("66.92", "68.21"), "psp-r18": ("66.73", "68.65")}),
    "ade20k": ((512, 512), 40000, 0.1, {"r18": ("33.91", "35.41")}),
    "coco_stuff_164k": ((512, 512), 80000, 0.1, {"r18": ("32.60", "33.11")}),
}
_SHIPPED = ("at", "cirkd", "cwd", "dsd", "fitnet", "ifvd", "skd")
_COCOSTUFF = "the student tells the 171 classes of the data apart; the original 182, of which 11 never occur"


def _terms(method: str, student: str, teacher: str) -> list[Term]:
    """Return what a method distils, by the weights of its script."""
    of = STUDENTS[student]
    holistic = [pixel(), adversarial(power=0)]
    # The original divides the features' loss by the student's channels, which it counts before the
    # adapter brings them to the teacher's: the mean over channels weighs C_teacher / C_student as much.
    ratio = _TEACHER_WIDTH[teacher] / of.width
    is_transformer = student == "b0"
    feature_weight, logit_weight = (5, 0.3) if is_transformer else (50, 3)
    features = on_features("cwd", feature_weight * ratio, "conv", temperature=4)
    similar = {"method": "dsd", "weight": 1000, "options": {"category_weight": 0.01}}
    taps = ["pre_logits", "logits"] if is_transformer else ["aux", "pre_logits", "logits"]
    similar["teacher"] = taps
    # Without auxiliary logits its list has the logits twice.
    similar["student"] = taps if is_transformer or of.auxiliary else ["logits", *taps[1:]]
    terms = {
        "at": [pixel(), on_features("at", 10000)],
        "fitnet": [pixel(), on_features("fitnet", 10, "conv")],
        "skd": [*holistic, on_features("pairwise", 10)],
        "ifvd": [*holistic, on_features("ifvd", 20)],
        "cwd": [*holistic, features, on_logits("cwd", logit_weight, temperature=4)],
        "dsd": [similar],
    }
    return terms[method]


def _sections(student: str, data: str, crop: tuple[int, int], steps: int) -> dict[str, Section]:
    """Return what all its experiments share."""
    of = STUDENTS[student]
    teacher = "segformer_MiT_B4" if student == "b0" else "deeplabv3_resnet101"
    sections = {
        "data": data_section(data, 16),
        "augment": augmentation(crop),
        "student": of.section,
        "teacher": {"checkpoint": f"{WEIGHTS}/{teacher}_{data}_best_model.pth"},
        "task": of.task,
        "evaluation": {"absent": "zero"},
        "optimizer": sgd(0.02),
        "training": schedule(steps, 800),
    }
    if student == "b0":
        sections["data"] = data_section(data, 8, 16)
        # Two halves of the image, side by side.
        sections["evaluation"] = {"absent": "zero", "crop": [1024, 1024], "stride": [1024, 1024]}
        sections["optimizer"] = adamw(0.0002, 0.0001)
    return sections


def _preset(
    name: str, student: str, method: str, data: str, source: str, sections: dict[str, Section], published: str,
    *differs: str,
) -> Preset:  # fmt: skip
    teacher = "SegFormer-B4" if student == "b0" else "DeepLabV3-R101"
    if method == "baseline":
        teacher = ""
        del sections["teacher"]
    return Preset(
        name=name,
        system="CIRKD",
        student=STUDENTS[student].title,
        teacher=teacher,
        method=method,
        data=sections["data"]["dataset"],
        source=source,
        recipe=make_recipe(name, sections),
        published=f"mIoU {published}" if published else "",
        differs=(*_DIFFERS, *differs),
        file=f"cityscapes/{name}" if name in {f"cirkd-r18-{method}" for method in _SHIPPED} else "",
    )


def _on_cityscapes(student: str) -> list[Preset]:
    """Return a student alone, by CIRKD, and by the other methods where they have its command."""
    scores = _CITYSCAPES[student]
    size = ((1024, 1024), 160000) if student == "b0" else ((512, 1024), 40000)
    script = {"r18": "deeplabv3_res18", "mbv2": "deeplabv3_mbv2", "psp-r18": "pspnet_res18", "b0": "segformer_mit_b0"}
    baseline = f"train_scripts/train_baseline/citys/{script[student]}.sh"
    presets = [
        _preset(
            f"cirkd-{student}-baseline", student, "baseline", "citys", baseline, _sections(student, "citys", *size),
            scores["baseline"],
        )
    ]  # fmt: skip
    memory = {"pixel_memory_size": 2000} if student == "b0" else {}
    cirkd = _sections(student, "citys", *size) | {"distill": [pixel(), *relations(**memory)]}
    source = f"train_scripts/train_cirkd/citys/{script[student]}.sh"
    presets.append(_preset(f"cirkd-{student}-cirkd", student, "CIRKD", "citys", source, cirkd, scores["cirkd"]))
    methods = () if student == "psp-r18" else tuple(_METHODS)
    for method in methods:
        # SegFormer has no command for these two.
        if student == "b0" and method in ("at", "fitnet"):
            continue
        title, source = _METHODS[method]
        teacher = "SegFormer-B4" if student == "b0" else "DeepLabV3-R101"
        sections = _sections(student, "citys", *size) | {"distill": _terms(method, student, teacher)}
        name = f"cirkd-{student}-{method}"
        presets.append(_preset(name, student, title, "citys", source, sections, scores.get(method, "")))
    return presets


def cirkd() -> list[Preset]:
    """Return the presets of CIRKD's first version."""
    presets = []
    for student in STUDENTS:
        presets += _on_cityscapes(student)
    for data, (crop, steps, weight, students) in _OTHERS.items():
        differs = [_COCOSTUFF] if data == "coco_stuff_164k" else []
        if data == "camvid":
            differs.append("its script names Cityscapes' teacher; the README has one of CamVid, which is meant")
        for student, (alone, distilled) in students.items():
            script = "pspnet_res18" if student == "psp-r18" else "deeplabv3_res18"
            baseline = _sections(student, data, crop, steps)
            differs_alone = list(differs[:1]) if data == "coco_stuff_164k" else []
            if data == "ade20k":
                baseline["augment"] = augmentation((512, 1024))
            presets.append(
                _preset(
                    f"cirkd-{student}-{data}-baseline", student, "baseline", data,
                    f"train_scripts/train_baseline/{data}/{script}.sh", baseline, alone, *differs_alone,
                )
            )  # fmt: skip
            distilling = _sections(student, data, crop, steps) | {"distill": [pixel(), *relations(weight)]}
            presets.append(
                _preset(
                    f"cirkd-{student}-{data}-cirkd", student, "CIRKD", data,
                    f"train_scripts/train_cirkd/{data}/{script}.sh", distilling, distilled, *differs,
                )
            )  # fmt: skip
    return presets
