"""Distillation losses: one paper, one file, one row of ``LOSSES``.

A loss is an ``nn.Module`` with ``forward(student, teacher, target) -> scalar``; it is unweighted, the teacher arrives
detached, and whatever it learns or remembers is its own child. What it cannot know (``student_channels``,
``teacher_channels``, ``num_classes``, ``ignore_index``) it names in its constructor and the build supplies it.
"""

from torch import nn

from densekd.losses.cwd import CWD
from densekd.losses.pixel import Pixel

LOSSES: dict[str, type[nn.Module]] = {
    "cwd": CWD,
    "pixel": Pixel,
}
