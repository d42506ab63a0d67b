"""What distinguishes the published families of one architecture: data, not subclasses.

A checkpoint's keys show none of this, and all of it changes the numbers.
"""

from dataclasses import dataclass
from typing import Literal

from densekd.errors import RecipeError, suggest

Dilation = Literal["first_conv", "halved", "full"]


@dataclass(frozen=True)
class Convention:
    """How a family feeds images to its networks, in units of [0, 1].

    Args:
        order: channel order of the network's input.
        mean: subtracted, in that order.
        std: divided by, in that order.
    """

    order: Literal["rgb", "bgr"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


IMAGENET = Convention("rgb", (123.675 / 255, 116.28 / 255, 103.53 / 255), (58.395 / 255, 57.12 / 255, 57.375 / 255))
CAFFE = Convention("bgr", (104.00698793 / 255, 116.66876762 / 255, 122.67891434 / 255), (1 / 255, 1 / 255, 1 / 255))
# What Detectron and OpenMMLab feed to weights that were converted from Caffe.
CAFFE_OPENMMLAB = Convention("bgr", (103.53 / 255, 116.28 / 255, 123.675 / 255), (1 / 255, 1 / 255, 1 / 255))

CONVENTIONS = {"imagenet": IMAGENET, "caffe": CAFFE_OPENMMLAB, "cirkd": CAFFE}


@dataclass(frozen=True)
class Family:
    """One published way to build a dilated ResNet with a dense head.

    Args:
        convention: of the input.
        stem_width: w of a deep stem of three 3x3 convolutions (w, w, 2w); None for a single 7x7.
        dilation: which 3x3 convolutions of a dilated stage carry the stage's dilation d. ``first_conv``: in a
            basic block the first one alone; ``halved``: all; both with d / 2 in the first convolution of the stage's
            first block. ``full``: all, the first block's included.
        ceil_pool: the stem's max-pooling rounds its output size up.
        align_corners: of every bilinear resize.
        negative_slope: of the leaky ReLU in the heads; 0 is a ReLU.
        pyramid_first: the pyramid levels precede the backbone's features in the head's input.
        auxiliary_bias: the auxiliary head's 3x3 convolution has a bias.
        aspp: DeepLabV3's join. ``bottleneck``: the image's mean first, one 3x3 convolution on the five branches.
            ``project``: the mean last, a 1x1 convolution before the 3x3 one. UPerNets differ along the same line.
        mobile_padding: of MobileNetV3's strided convolutions: ``torch`` (the same on all sides) or ``tensorflow`` (more
            at the bottom and right); with the latter those that lose their stride take the new dilation at once.
        style: which convolution of a bottleneck has its stride: the 3x3 (``pytorch``) or the 1x1 before it (``caffe``).
    """

    convention: Convention
    stem_width: int | None
    dilation: Dilation
    ceil_pool: bool
    align_corners: bool
    negative_slope: float
    pyramid_first: bool
    auxiliary_bias: bool
    aspp: Literal["bottleneck", "project"]
    mobile_padding: Literal["torch", "tensorflow"]
    style: Literal["pytorch", "caffe"] = "pytorch"


FAMILIES: dict[str, Family] = {
    "mmseg": Family(IMAGENET, 32, "first_conv", False, False, 0.0, False, False, "bottleneck", "torch"),
    "mmseg_b": Family(IMAGENET, None, "first_conv", False, False, 0.0, False, False, "bottleneck", "torch"),
    "cirkd": Family(CAFFE, 64, "halved", False, True, 0.0, False, False, "project", "tensorflow"),
    "cirkd_vanilla": Family(CAFFE, None, "halved", False, True, 0.0, False, False, "project", "tensorflow"),
    "mmdet": Family(IMAGENET, None, "first_conv", False, False, 0.0, False, False, "bottleneck", "torch"),
    "mmdet_caffe": Family(
        CAFFE_OPENMMLAB, None, "first_conv", False, False, 0.0, False, False, "bottleneck", "torch", "caffe"
    ),
    "torchdistiller": Family(CAFFE, 64, "full", True, True, 0.01, True, True, "bottleneck", "torch"),
}


def find_family(name: str) -> Family:
    """Return a family by name.

    Raises:
        RecipeError: an unknown name.
    """
    if name not in FAMILIES:
        raise RecipeError(f"Unknown family '{name}'. {suggest(name, FAMILIES)}")
    return FAMILIES[name]
