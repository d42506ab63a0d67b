"""Presets of HWD: eight students on six data sets, alone and by seven methods at the settings of its repository."""

from densekd.presets.dilated import (
    WEIGHTS,
    Student,
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
    "pixel accuracy is that of the logits; as released it is that of logits cut to integers",
)
_COCOSTUFF = "the student tells the 171 classes of the data apart; the original 182, of which 11 never occur"
_DIV_PIXEL = (
    "DivPixel is N, as the command had it that the paper's experiment ran; since 2023-04-09 the public page says None "
    "(distill.0.options.pixel_division=none)"
)
STUDENTS = {
    "deeplabv3-resnet18": Student(
        "DeepLabV3-R18", "deeplabv3", {"backbone": "resnet18", "family": "hwd"}, f"{WEIGHTS}/resnet18-imagenet.pth",
        128, True,
    ),
    "deeplabv3-resnet50": Student(
        "DeepLabV3-R50", "deeplabv3", {"backbone": "resnet50", "family": "hwd"}, f"{WEIGHTS}/resnet50-imagenet.pth",
        256, True,
    ),
    "deeplabv3-resnet101": Student(
        "DeepLabV3-R101", "deeplabv3", {"backbone": "resnet101", "family": "hwd"}, f"{WEIGHTS}/resnet101-imagenet.pth",
        256, True,
    ),
    "psp-resnet18": Student(
        "PSPNet-R18", "pspnet", {"backbone": "resnet18", "family": "hwd"}, f"{WEIGHTS}/resnet18-imagenet.pth", 128,
        True,
    ),
    "psp-resnet50": Student(
        "PSPNet-R50", "pspnet", {"backbone": "resnet50", "family": "hwd"}, f"{WEIGHTS}/resnet50-imagenet.pth", 512,
        True,
    ),
    "psp-resnet101": Student(
        "PSPNet-R101", "pspnet", {"backbone": "resnet101", "family": "hwd"}, f"{WEIGHTS}/resnet101-imagenet.pth", 512,
        True,
    ),
    "deeplabv3_mobile-mobile": Student(
        "DeepLabV3-MobileNetV2", "deeplabv3_mobile", {"backbone": "mobilenetv2_100", "family": "hwd"},
        f"{WEIGHTS}/mobilenetv2-imagenet.pth", 128,
    ),
    "psp_mobile-mobile": Student(
        "PSPNet-MobileNetV2", "psp_mobile", {"backbone": "mobilenetv2_100", "family": "hwd"},
        f"{WEIGHTS}/mobilenetv2-imagenet.pth", 128,
    ),
}  # fmt: skip
# The teacher is DeepLabV3-R101 everywhere.
_TEACHERS = {
    "citys": f"{WEIGHTS}/deeplabv3_resnet101_citys_best_model.pth",
    "voc": f"{WEIGHTS}/deeplabv3_resnet101_voc_best_model.pth",
    "camvid": f"{WEIGHTS}/deeplabv3_resnet101_camvid_best_model.pth",
    "ade20k": "checkpoints/hwd/deeplabv3_resnet101_ade20k_best_model.pth",
    "coco_stuff_164k": "checkpoints/hwd/deeplabv3_resnet101_coco_best_model.pth",
    "coco_stuff_10k": "checkpoints/hwd/deeplabv3_resnet101_coco_best_model.pth",
}
_METHODS = {
    "baseline": "train_baseline.py",
    "hwd": "train_hwd.py --activation --L MSE --process E --parameter 0.1 --shift 1.0 --DivPixel N",
    "cwd": "train_cwd.py",
    "skd": "train_skd.py",
    "ifvd": "train_ifvd.py",
    "dist": "train_dist.py",
    "mgd": "train_mgd.py",
    "cirkd": "train_cirkd.py",
}
# Methods whose modules are written for 128 channels that become 256.
_FIXED_WIDTH = ("cwd", "mgd", "cirkd")


def _terms(method: str) -> list[Term]:
    """Return what a method distils, by the defaults of its script."""
    hwd = on_logits(
        "hwd", 3, distance="mse", values="activations", pixel_division="N", shift=1.0, process="E", parameter=0.1,
        temperature=4,
    )  # fmt: skip
    # Unlike CIRKD's, its discriminator's rate decays with the student's.
    holistic = [pixel(), adversarial(power=0.9)]
    terms = {
        "baseline": [],
        "hwd": [hwd],
        "cwd": [on_logits("cwd", 3, temperature=4)],
        "skd": [*holistic, on_features("pairwise", 10)],
        "ifvd": [*holistic, on_features("ifvd", 20)],
        "dist": [on_logits("dist", 1, normalize="none", beta=1, gamma=1)],
        "mgd": [on_features("mgd", 0.00002, masked=0.75, mask="position")],
        "cirkd": [pixel(), *relations()],
    }
    return terms[method]


def _sections(student: str, data: str) -> dict[str, Section]:
    of = STUDENTS[student]
    sections = {
        "data": data_section(data, 8),
        "augment": augmentation((360, 360) if data == "camvid" else (512, 512)),
        "student": of.section,
        "teacher": {"checkpoint": _TEACHERS[data]},
        "task": of.task,
        "evaluation": {"absent": "zero"},
        "optimizer": sgd(0.01),
        "training": schedule(40000, 400),
    }
    if data == "voc":
        sections["data"]["root"] = "data/VOCdevkit/VOC2012"
    return sections


def _differs(student: str, data: str, method: str) -> tuple[str, ...]:
    """Return what differs in one cell of the table."""
    differs = list(_DIFFERS)
    if method == "hwd":
        differs.append(_DIV_PIXEL)
    if method == "cirkd":
        differs.append("the memory takes up each class's own pixels; as released it takes the first of the image")
    if method in _FIXED_WIDTH and STUDENTS[student].width != 128:
        differs.append("as released it stops, being written for features of 128 channels")
    if data.startswith("coco_stuff"):
        differs.append(_COCOSTUFF)
    if data == "camvid":
        differs.append("the original has no CamVid: the crop is CIRKD's")
    if data == "coco_stuff_10k":
        differs.append("the original has the 164k images alone, and so does its teacher")
    if method == "hwd" and data == "coco_stuff_164k":
        differs.append("train_hwd.py itself does not offer coco; the other scripts do")
    return tuple(differs)


def _preset(student: str, data: str, method: str) -> Preset:
    name = f"hwd-{student}-{data}-{method}"
    # The README's command had a recipe before the others.
    shipped = name == "hwd-deeplabv3-resnet18-citys-hwd"
    if shipped:
        name = "hwd-r18"
    sections = _sections(student, data)
    terms = _terms(method)
    if terms:
        sections["distill"] = terms
    else:
        del sections["teacher"]
    return Preset(
        name=name,
        system="HWD",
        student=STUDENTS[student].title,
        teacher="DeepLabV3-R101" if terms else "",
        method=method if method == "baseline" else method.upper(),
        data=sections["data"]["dataset"],
        source=_METHODS[method],
        recipe=make_recipe(name, sections),
        differs=_differs(student, data, method),
        file="cityscapes/hwd-r18" if shipped else "",
    )


def hwd() -> list[Preset]:
    """Return the presets of HWD."""
    presets = []
    for data in _TEACHERS:
        for student in STUDENTS:
            for method in _METHODS:
                presets.append(_preset(student, data, method))
    return presets


# The table's name of the README's command.
HWD_ALIASES = {"hwd-deeplabv3-resnet18-citys-hwd": "hwd-r18"}
