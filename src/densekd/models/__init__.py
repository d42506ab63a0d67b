"""Student and teacher architectures: ``MODELS`` maps a name to the function that builds it.

Every model takes float RGB in [0, 1], ``[B, 3, H, W]``, normalises inside, and returns logits ``[B, C, h, w]`` at its
head's stride. ``model.align_corners`` says how its logits are enlarged; ``model.taps`` gives its short tap names.
"""

from collections.abc import Callable

from torch import nn

from densekd.models.dilated import deeplabv3, deeplabv3plus, fcn, pspnet
from densekd.models.fpn import fpn

MODELS: dict[str, Callable[..., nn.Module]] = {
    "deeplabv3": deeplabv3,
    "deeplabv3plus": deeplabv3plus,
    "fcn": fcn,
    "fpn": fpn,
    "pspnet": pspnet,
}
