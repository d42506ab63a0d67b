"""SegDistill: channel-group distillation of transformers on ADE20K, and its comparisons."""

from collections.abc import Iterator, Mapping

from densekd.presets.parts import DATA, Content, term
from densekd.presets.preset import Preset

_CGD = {"temperature": 2, "group_size": 10, "shuffle_interval": 1000, "scale": "none"}
_PIXEL = term("pixel", 1, {"scale": "none"})
# The stop schedule ("SW"): warm-up, then a decay to nothing before the end.
_SCHEDULE = {"value": 3, "warmup": 2000, "decay": [110000, 120000]}
_TABLE_5 = ("baseline", "pd", "at", "ifvd", "cd", "cgd", "cgd-sw")
# mIoU of table 5, in the order of its columns.
_PUBLISHED: Mapping[str, tuple[str, ...]] = {
    "b0": ("38.0", "38.61", "38.43", "38.72", "39.66", "40.39", "41.27"),
    "swin-t": ("44.21", "43.17", "44.15", "44.14", "45.52", "45.84", "46.83"),
    "psp-r50": ("40.94", "43.17", "42.14", "41.7", "42.68", "43.61", ""),
}
_TITLES = {"swin-t": "UPerNet-Swin-T", "psp-r50": "PSPNet-R50"}
_LENGTH: Content = {
    "training": {"steps": 160000, "precision": 32, "validate_every": 2000, "checkpoint_every": 4000},
    "evaluation": {"divisor": 32},
}
_AUGMENT: Content = {
    "crop": [512, 512],
    "scale": [0.5, 2.0],
    "flip": 0.5,
    "photometric": "mmseg",
    "padding": "last",
    "max_class_share": 0.75,
}
_NO_DECAY = ["named:norm", "pos_block"]
_DIFFERS = (
    "the teacher stays in evaluation mode, where the original's batch norms drift; images are "
    "brought to a shorter side of 512 and then scaled, where mmsegmentation scales once"
)
_OF_METHOD = {"example": "the original's teacher is random, its weights being in a comment; here they are B3's; "}
_OWN_TEACHER = "the original's file loads SegFormer-B3's weights whatever the teacher; "


_TEACHER = "checkpoints/nvlabs/segformer.{}.512x512.ade.160k.pth"
_OF_TEACHER = {"b3": ""}


def presets() -> Iterator[Preset]:
    """Return table 5, pairs of sizes, group sizes, and weights with temperatures."""
    for student in ("b0", "swin-t", "psp-r50"):
        for column, method in enumerate(_TABLE_5):
            published = _PUBLISHED[student][column]
            source = f"exp_tab5/{_config(student, method)}.py"
            yield _preset(student, "b3", method, _terms(student, method), source, published)
    yield _preset("b0", "b3", "example", [_pixel_at_labels()], "example_config.py", "")
    # Every larger SegFormer teaches every smaller one.
    for larger in range(1, 5):
        for smaller in range(larger):
            if (larger, smaller) != (3, 0):
                source = f"Teacher_Student_Size/b{larger}b{smaller}.py"
                yield _preset(f"b{smaller}", f"b{larger}", "cgd", [_cgd(3)], source, "")
    for size in (1, 3, 5, 10, 30, 50, 150):
        terms = [_cgd(3, group_size=size)]
        yield _preset("b0", "b3", f"group-{size}", terms, f"Group_Size/cgd{size}.py", "")
    for weight in (1, 2, 3):
        for temperature in (1, 2, 3, 4):
            terms = [_cgd(weight, temperature=temperature)]
            source = f"Weight_Temperature/w={weight}_t={temperature}.py"
            yield _preset("b0", "b3", f"w{weight}-t{temperature}", terms, source, "")


def _config(student: str, method: str) -> str:
    model = {"b0": "segformer", "swin-t": "swin", "psp-r50": "psp"}[student]
    return f"{model}_{method.upper().replace('CGD-SW', 'CGD+WS').replace('BASELINE', 'baseline')}"


def _cgd(weight: object, **changes: int) -> Content:
    """Return channel-group distillation at the size of the labels."""
    return term("cgd", weight, {**_CGD, **changes}, resize_to="label")


def _pixel_at_labels() -> Content:
    options = {"transform": "pixel", "temperature": 1, "scale": "none"}
    return term("cgd", 1, options, resize_to="label")


def _terms(student: str, method: str) -> list[Content]:
    """Return the terms of a column of table 5."""
    if method == "baseline":
        return []
    if method == "pd":
        return [_pixel_at_labels()]
    if method == "at":
        # Student and teacher have one size but for PSPNet, where the original fails.
        resize = {"resize_to": "student"} if student == "psp-r50" else {}
        pixel = {**_PIXEL, **resize}
        return [pixel, term("at", 1, {"attention": "mean"}, **resize)]
    if method == "ifvd":
        resized = {**_PIXEL, "resize_to": "student"} if student == "psp-r50" else _PIXEL
        return [resized, term("ifvd", 10, resize_to="student")]
    if method == "cd":
        options = {"temperature": 1, "group_size": 1, "scale": "none"}
        return [term("cgd", 1, options, resize_to="label")]
    size = 5 if (student, method) == ("psp-r50", "cgd") else 10
    weight: object = _SCHEDULE if method == "cgd-sw" else 3
    return [_cgd(weight, group_size=size)]


def _student(student: str) -> Content:
    if student == "swin-t":
        return {
            "model": "upernet",
            "options": {"backbone": "swin_tiny", "auxiliary_channels": 0},
            "pretrained": "checkpoints/swin/swin_tiny_patch4_window7_224.pth",
        }
    if student == "psp-r50":
        # From random weights: the line with the file is commented out.
        options = {"backbone": "resnet50", "family": "mmseg", "auxiliary_channels": 0}
        return {"model": "pspnet", "options": options}
    return {
        "model": "segformer",
        "options": {"backbone": f"mit_{student}", "family": "nvlabs"},
        "pretrained": f"checkpoints/nvlabs/mit_{student}.pth",
    }


def _preset(
    student: str,
    teacher: str,
    method: str,
    terms: list[Content],
    source: str,
    published: str,
) -> Preset:
    pair = student if teacher == "b3" else f"{teacher}-{student}"
    name = f"segdistill-{pair}-{method}"
    small = _student(student)
    if method == "example":
        # The example's student begins with random weights.
        del small["pretrained"]
    content: Content = {
        "name": name,
        "data": {**DATA["ade20k"], "short_side": 512, "batch_size": 16, "workers": 8},
        "augment": dict(_AUGMENT),
        "student": small,
    }
    if terms:
        content["teacher"] = {"checkpoint": _TEACHER.format(teacher)}
        content["distill"] = terms
    content |= {
        "task": {"normalize": "all"},
        "optimizer": _optimizer(student == "swin-t"),
        **_LENGTH,
    }
    return Preset(
        name=name,
        system="segdistill",
        student=_TITLES.get(student, f"SegFormer-{student.upper()}"),
        teacher=f"SegFormer-{teacher.upper()}" if terms else "",
        method=method,
        data="ade20k",
        source=f"distillation_configs/{source}",
        published=f"{published} mIoU" if published else "",
        differs=_OF_METHOD.get(method, "") + _OF_TEACHER.get(teacher, _OWN_TEACHER) + _DIFFERS,
        content=content,
    )


def _optimizer(swin: bool) -> Content:
    """Return AdamW with the exceptions of the student's configurations."""
    positions = ["absolute_pos_embed", "relative_position_bias_table", "named:norm"]
    return {
        "method": "adamw",
        "lr": 0.00006,
        "betas": [0.9, 0.999],
        "weight_decay": 0.01,
        "no_decay": positions if swin else _NO_DECAY,
        # Swin's configurations do not raise the rate of the head.
        "head_lr": 1 if swin else 10,
        "power": 1.0,
        "warmup": 1500,
        "warmup_ratio": 0.000001,
    }
