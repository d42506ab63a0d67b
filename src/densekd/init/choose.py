"""Choice of models, sizes and schedule for data, machine and a limit of milliseconds."""

from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from densekd.errors import UserError
from densekd.init.look import Found
from densekd.init.machine import Machine, milliseconds
from densekd.models import MODELS

_STRIDE = 32
# Passes over the training images, and limits of the steps, on a CPU and on a GPU.
_EPOCHS = {"cpu": 50, "gpu": 120}
_STEPS = {"cpu": (400, 1600), "gpu": (4000, 40000)}
# A first training on a CPU ends within so many minutes, if that leaves it so many steps.
_MINUTES, _FEWEST = 30, 200


@dataclass(frozen=True)
class Model:
    """A model of a recipe.

    Args:
        name: of ``MODELS``.
        options: of its builder.
        pretrained: timm's name of weights for its backbone; empty where there are none.
    """

    name: str
    options: dict[str, Any]
    pretrained: str = ""

    def build(self, classes: int) -> nn.Module:
        """Build it with random weights."""
        return MODELS[self.name](num_classes=classes, **self.options)

    @property
    def words(self) -> str:
        """Its name and that of its backbone."""
        return f"{self.name}, {self.options['backbone']}"


def _fpn(backbone: str, channels: int, pretrained: str = "") -> Model:
    return Model("fpn", {"backbone": backbone, "channels": channels}, pretrained)


def _gfl(backbone: str, channels: int, depth: int, pretrained: str = "") -> Model:
    return Model("gfl", {"backbone": backbone, "channels": channels, "depth": depth}, pretrained)


_RESNET18 = "resnet18.a1_in1k"
_RESNET50 = "resnet50.a1_in1k"
_MOBILENET = "mobilenetv3_small_100.lamb_in1k"
# Slow to fast; the first that is fast enough is taken.
_STUDENTS = {
    "detection": (
        _gfl("resnet50", 256, 4, _RESNET50),
        _gfl("resnet18", 128, 4, _RESNET18),
        _gfl("resnet18", 64, 2, _RESNET18),
        _gfl("mobilenetv3_small_100", 64, 2, _MOBILENET),
        _gfl("resnet18_025", 32, 2),
    ),
    "segmentation": (
        _fpn("resnet50", 128, _RESNET50),
        _fpn("resnet18", 128, _RESNET18),
        _fpn("resnet18", 64, _RESNET18),
        _fpn("mobilenetv3_small_100", 64, _MOBILENET),
        _fpn("resnet18_025", 64),
        _fpn("resnet18_025", 32),
    ),
}
# Where nobody says how fast it shall be: first with weights from the network, then without.
_USUAL = {
    ("segmentation", "cpu"): (_fpn("mobilenetv3_small_100", 64, _MOBILENET), _fpn("resnet18_025", 64)),
    ("segmentation", "gpu"): (_fpn("resnet18", 128, _RESNET18), _fpn("resnet18", 128)),
    ("detection", "cpu"): (_gfl("mobilenetv3_small_100", 64, 2, _MOBILENET), _gfl("resnet18_025", 32, 2)),
    ("detection", "gpu"): (_gfl("resnet18", 128, 4, _RESNET18), _gfl("resnet18", 128, 4)),
}
_TEACHERS = {
    ("segmentation", "cpu"): _fpn("resnet18", 128, _RESNET18),
    ("segmentation", "gpu"): Model("pspnet", {"backbone": "resnet101"}, "resnet101c.gluon_in1k"),
    ("detection", "cpu"): _gfl("resnet18", 64, 2, _RESNET18),
    ("detection", "gpu"): _gfl("resnet101", 256, 4, "resnet101.a1_in1k"),
}


@dataclass(frozen=True)
class Choice:
    """What fits data and machine.

    Args:
        teacher: to train first.
        student: to distil.
        short_side: what images are brought to; None: they stay as they are.
        long_side: the limit beside it, of detection.
        size: (height, width) of an image as the models see it.
        crop: of segmentation, depth; None for detection.
        batch: images of a step.
        steps: of the teacher, of the student.
        milliseconds: of the student on this machine; None where none was measured.
    """

    teacher: Model
    student: Model
    short_side: int | None
    long_side: int | None
    size: tuple[int, int]
    crop: tuple[int, int] | None
    batch: int
    steps: tuple[int, int]
    milliseconds: float | None = None


def choose(found: Found, machine: Machine, limit: float | None, network: bool) -> Choice:
    """Choose models, sizes and steps.

    Args:
        found: the data.
        machine: that trains.
        limit: of the student's milliseconds an image, on this machine; None: none.
        network: whether pretrained weights can be downloaded.

    Raises:
        UserError: no student is fast enough.
    """
    place = "cpu" if machine.kind == "cpu" else "gpu"
    kind = "detection" if found.task == "detection" else "segmentation"
    short_side, long_side, size = _sizes(found.size, kind, place)
    batch = 8 if place == "cpu" or machine.memory < 20 else 16
    batch = min(batch, len(found.train))
    epochs = round(_EPOCHS[place] * len(found.train) / batch)
    fewest, most = _STEPS[place]
    steps = _rounded(min(max(epochs, fewest), most))
    crop = None if kind == "detection" else _crop(size, place)
    student, taken = _student(found, kind, place, size, machine, limit, network)
    return Choice(
        _TEACHERS[kind, place],
        student,
        short_side,
        long_side,
        size,
        crop,
        batch,
        (steps, max(fewest, steps // 2)),
        taken,
    )


def shorten(choice: Choice, costs: tuple[float, float], machine: Machine) -> Choice:
    """Return a choice whose trainings end within half an hour on a CPU; on a GPU, the choice itself.

    Args:
        choice: models, sizes and steps.
        costs: milliseconds of a step of each training; 0: there is no such training.
        machine: that trains.
    """
    if machine.kind != "cpu":
        return choice
    steps = []
    for wanted, cost in zip(choice.steps, costs, strict=True):
        affordable = round(_MINUTES * 60_000 / cost) if cost else wanted
        steps.append(min(wanted, max(_FEWEST, _rounded(affordable))))
    return replace(choice, steps=(steps[0], steps[1]))


def _sizes(size: tuple[int, int], kind: str, place: str) -> tuple[int | None, int | None, tuple[int, int]]:
    """Return the shorter side and the limit of the longer one that images are brought to, and their size then."""
    short, long = min(size), max(size)
    wanted = {"cpu": 256, "gpu": 1024}[place]
    if kind == "detection":
        wanted = {"cpu": 256, "gpu": 800}[place]
    # Small images stay what they are; a detector needs its size said.
    if short <= 1.25 * wanted and kind != "detection":
        return None, None, size
    wanted = min(wanted, short)
    scale = wanted / short
    if kind == "detection":
        limit = min(round(wanted * 1333 / 800), max(wanted, round(long * scale)))
        scale = min(scale, limit / long)
    seen = (round(size[0] * scale), round(size[1] * scale))
    return wanted, limit if kind == "detection" else None, seen


def _crop(size: tuple[int, int], place: str) -> tuple[int, int]:
    """Return the crop: what fits into the image, in whole strides, not larger than is usual."""
    most = 256 if place == "cpu" else 512
    height, width = (max(_STRIDE, min(side, most) // _STRIDE * _STRIDE) for side in size)
    # Wide scenes keep what is left and right of their middle.
    if place == "gpu" and size[1] >= 1.8 * size[0]:
        width = min(2 * most, size[1] // _STRIDE * _STRIDE)
    return height, width


def _student(
    found: Found, kind: str, place: str, size: tuple[int, int], machine: Machine, limit: float | None, network: bool
) -> tuple[Model, float | None]:
    """Return the largest student that is fast enough, and its milliseconds where they were measured."""
    classes = len(found.train.classes.names)
    if limit is None:
        return _USUAL[kind, place][0 if network else 1], None
    padded = tuple(-(-side // _STRIDE) * _STRIDE for side in size)
    fastest = float("inf")
    for model in _STUDENTS[kind]:
        taken = milliseconds(model.build(classes), (padded[0], padded[1]), machine)
        if taken <= limit:
            return model, taken
        fastest = min(fastest, taken)
    raise UserError(
        f"--ms {limit:g}: the fastest student takes {fastest:.1f} ms for an image of {size[0]} x {size[1]} on this "
        f"machine ({machine.name}). Allow more, or bring images to a smaller size: data.short_side of a recipe."
    )


def _rounded(steps: int) -> int:
    """Return a number of steps with two digits."""
    unit = 10 ** max(1, len(str(steps)) - 2)
    return int(round(steps / unit) * unit)
