"""Presets of SegDistill on ADE20K: table 5, group sizes, weights and temperatures, pairs of SegFormers."""

from densekd.presets.preset import Preset, Section, Term, make_recipe

_FOLDER = "distillation_configs"
_WEIGHTS = "checkpoints/nvlabs"
_DIFFERS = (
    "the teacher is in evaluation mode throughout; the original lets its dropout on and its statistics drift",
    "channels are grouped without padding; where the size does not divide them the last group is smaller",
)
_SEGFORMER_DECAY = ["norm", "pos_block"]
_SWIN_DECAY = ["absolute_pos_embed", "relative_position_bias_table", "norm"]
_STUDENTS: dict[str, tuple[str, Section]] = {
    "b0": (
        "SegFormer-B0",
        {
            "model": "segformer",
            "options": {"backbone": "mit_b0", "family": "nvlabs"},
            "pretrained": f"{_WEIGHTS}/mit_b0.pth",
        },
    ),
    "swin-t": (
        "UPerNet-Swin-T",
        {
            "model": "upernet",
            "options": {"backbone": "swin_tiny", "auxiliary_channels": 0},
            "pretrained": "checkpoints/swin/swin_tiny_patch4_window7_224.pth",
        },
    ),
    # As shipped, it begins with random weights: the line with ResNet-50's is a comment.
    "psp-r50": (
        "PSPNet-R50",
        {"model": "pspnet", "options": {"backbone": "resnet50", "family": "mmseg", "auxiliary_channels": 0}},
    ),
}
# mIoU / mAcc of table 5.
_TABLE_5 = {
    "b0": {
        "baseline": "38.0/48.76", "pd": "38.61/49.59", "at": "38.43/49.38", "ifvd": "38.72/49.65",
        "cd": "39.66/49.96", "cgd": "40.39/50.53", "cgd-sw": "41.27/52.78",
    },
    "swin-t": {
        "baseline": "44.21/55.79", "pd": "43.17/52.59", "at": "44.15/55.49", "ifvd": "44.14/55.5",
        "cd": "45.52/57.03", "cgd": "45.84/57.13", "cgd-sw": "46.83/59.05",
    },
    "psp-r50": {
        "baseline": "40.94/51.05", "pd": "43.17/52.89", "at": "42.14/52.55", "ifvd": "41.7/51.59",
        "cd": "42.68/53.09", "cgd": "43.61/53.3", "cgd-sw": "",
    },
}  # fmt: skip
_METHODS = ("baseline", "pd", "at", "ifvd", "cd", "cgd", "cgd-sw")
# What the files of ``exp_tab5`` begin with, and end with.
_FILES = {"b0": "segformer", "swin-t": "swin", "psp-r50": "psp"}
_FILE_ENDS = {"cgd-sw": "CGD+WS", "baseline": "baseline"}
_SHIPPED = {
    "b0": ("pd", "at", "ifvd", "cd", "cgd", "cgd-sw"),
    "swin-t": ("cgd-sw",),
    "psp-r50": ("cgd",),
}


def _sections(student: str) -> dict[str, Section]:
    """Return what all its experiments share."""
    is_swin = student == "swin-t"
    return {
        "data": {
            "dataset": "ade20k",
            "root": "data/ade/ADEChallengeData2016",
            "short_side": 512,
            "batch_size": 16,
            "workers": 8,
        },
        "augment": {
            "crop": [512, 512],
            "scale": [0.5, 2.0],
            "flip": 0.5,
            "photometric": True,
            "max_class_share": 0.75,
        },
        "student": dict(_STUDENTS[student][1]),
        "teacher": {"checkpoint": f"{_WEIGHTS}/segformer.b3.512x512.ade.160k.pth"},
        "task": {"normalize": "all"},
        "optimizer": {
            "method": "adamw",
            "lr": 0.00006,
            "betas": [0.9, 0.999],
            "weight_decay": 0.01,
            "no_decay": list(_SWIN_DECAY if is_swin else _SEGFORMER_DECAY),
            "head_lr": 1 if is_swin else 10,
            "power": 1.0,
            "floor": 0,
            "warmup": 1500,
            "warmup_ratio": 0.000001,
        },
        "training": {"steps": 160000, "validate_every": 2000, "checkpoint_every": 4000, "export": "last"},
    }


def _cgd(weight: float, temperature: float, group_size: int) -> Term:
    options = {"temperature": temperature, "group_size": group_size, "shuffle_interval": 1000, "scale": "none"}
    return {"method": "cgd", "weight": weight, "resize_to": "label", "options": options}


def _terms(method: str, student: str) -> list[Term]:
    """Return what a method of table 5 distils."""
    pixel: Term = {"method": "pixel", "weight": 1, "options": {"temperature": 1, "scale": "none"}}
    at: Term = {"method": "at", "weight": 1, "options": {"attention": "mean"}}
    if student == "psp-r50":
        # Its logits have stride 8, the teacher's 4.
        pixel["resize_to"] = "student"
        at["resize_to"] = "student"
    # As shipped, PSPNet is grouped by 5.
    group_size = 5 if student == "psp-r50" else 10
    scheduled = _cgd(3, 2, group_size)
    scheduled["weight"] = {"value": 3, "warmup": 2000, "decay": [110000, 120000]}
    pd = {"transform": "pixel", "temperature": 1, "scale": "none"}
    cd = {"temperature": 1, "group_size": 1, "shuffle_interval": 0, "scale": "none"}
    terms: dict[str, list[Term]] = {
        "baseline": [],
        "pd": [{"method": "cgd", "weight": 1, "resize_to": "label", "options": pd}],
        "at": [pixel, at],
        "ifvd": [pixel, {"method": "ifvd", "weight": 10, "resize_to": "student"}],
        "cd": [{"method": "cgd", "weight": 1, "resize_to": "label", "options": cd}],
        "cgd": [_cgd(3, 2, group_size)],
        "cgd-sw": [scheduled],
    }
    return terms[method]


def _make(name: str, method: str, source: str, sections: dict[str, Section], published: str = "", **more: str) -> Preset:
    """Return a preset; ``more`` has student, teacher, file and ``differs``, where they are not the usual ones."""
    differs = more.pop("differs", "")
    fields = {"student": "SegFormer-B0", "teacher": "SegFormer-B3", "file": ""} | more
    return Preset(
        name=name,
        system="SegDistill",
        method=method,
        data="ade20k",
        source=f"{_FOLDER}/{source}",
        recipe=make_recipe(name, sections),
        published=published,
        differs=(*_DIFFERS, differs) if differs else _DIFFERS,
        **fields,
    )


def _table_5(student: str, method: str) -> Preset:
    sections = _sections(student) | {"distill": _terms(method, student)}
    alone = method == "baseline"
    if alone:
        del sections["teacher"]
    name = f"segdistill-{student}-{method}"
    differs = ""
    if student == "psp-r50" and method == "at":
        differs = "as shipped the logits differ in size and it stops; here the teacher's are resized to the student's"
    if student == "psp-r50" and method == "cgd-sw":
        differs = "as shipped it passes a group size that its loss does not take, and stops; here the group size is 5"
    score = _TABLE_5[student][method]
    return _make(
        name,
        method.upper().replace("-SW", " + SW") if not alone else method,
        f"exp_tab5/{_FILES[student]}_{_FILE_ENDS.get(method, method.upper())}.py",
        sections,
        f"mIoU/mAcc {score}" if score else "",
        student=_STUDENTS[student][0],
        teacher="" if alone else "SegFormer-B3",
        file=f"ade20k/{name}" if method in _SHIPPED[student] else "",
        differs=differs,
    )


def _pair(teacher: int, student: int) -> Preset:
    """Return CGD from one SegFormer to a smaller one."""
    sections = _sections("b0") | {"distill": [_cgd(3, 2, 10)]}
    sections["student"] |= {
        "options": {"backbone": f"mit_b{student}", "family": "nvlabs"},
        "pretrained": f"{_WEIGHTS}/mit_b{student}.pth",
    }
    sections["teacher"] = {"checkpoint": f"{_WEIGHTS}/segformer.b{teacher}.512x512.ade.160k.pth"}
    return _make(
        f"segdistill-b{teacher}b{student}",
        "CGD",
        f"Teacher_Student_Size/b{teacher}b{student}.py",
        sections,
        student=f"SegFormer-B{student}",
        teacher=f"SegFormer-B{teacher}",
        differs="" if teacher == 3 else "the original reads the weights of B3 whatever the teacher; here its own",
    )


def segdistill() -> list[Preset]:
    """Return the presets of SegDistill."""
    presets = []
    for student in _STUDENTS:
        for method in _METHODS:
            presets.append(_table_5(student, method))
    example = _sections("b0") | {"distill": _terms("pd", "b0")}
    # The example's student has no ImageNet weights, and the line with its teacher's is a comment.
    del example["student"]["pretrained"]
    untrained = "the original's teacher is random, its line of weights a comment; here it is the trained SegFormer-B3"
    presets.append(_make("segdistill-example", "PD", "example_config.py", example, differs=untrained))
    for group_size in (1, 3, 5, 30, 50, 150):
        name = f"segdistill-b0-cgd-g{group_size}"
        sections = _sections("b0") | {"distill": [_cgd(3, 2, group_size)]}
        source = f"Group_Size/cgd{group_size}.py"
        if group_size == 5:
            source = "Group_Size with the size of exp_tab5/psp_CGD.py"
        presets.append(_make(name, "CGD", source, sections))
    for weight in (1, 2, 3):
        for temperature in (1, 2, 3, 4):
            if (weight, temperature) == (3, 2):
                continue
            name = f"segdistill-b0-cgd-w{weight}-t{temperature}"
            sections = _sections("b0") | {"distill": [_cgd(weight, temperature, 10)]}
            presets.append(_make(name, "CGD", f"Weight_Temperature/w={weight}_t={temperature}.py", sections))
    for teacher in (1, 2, 3, 4):
        for student in range(teacher):
            if (teacher, student) != (3, 0):
                presets.append(_pair(teacher, student))
    return presets


# Other names of presets of table 5.
SEGDISTILL_ALIASES = {
    "segdistill-b0-cgd-g10": "segdistill-b0-cgd",
    "segdistill-b0-cgd-w3-t2": "segdistill-b0-cgd",
    "segdistill-b3b0": "segdistill-b0-cgd",
}
