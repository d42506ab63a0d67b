"""Families: the published versions of one architecture, told apart by data instead of subclasses.

A checkpoint's keys show none of this, and all of it changes the numbers.
"""

from dataclasses import dataclass, replace
from typing import Literal

from densekd.errors import RecipeError, suggest

Dilation = Literal["first_conv", "halved", "full"]


@dataclass(frozen=True)
class Convention:
    """Input normalization of a family, in units of [0, 1]: three numbers, or one for each band.

    Args:
        order: channel order of the network's input, where these are colors.
        mean: subtracted, in that order.
        std: divided by, in that order.
    """

    order: Literal["rgb", "bgr"]
    mean: tuple[float, ...]
    std: tuple[float, ...]


# Mean and deviation of ImageNet, as torchvision and timm use them.
IMAGENET = Convention(
    order="rgb",
    mean=(123.675 / 255, 116.28 / 255, 103.53 / 255),
    std=(58.395 / 255, 57.12 / 255, 57.375 / 255),
)
# Mean alone, of images in [0, 255], as CIRKD and TorchDistiller subtract it.
CAFFE = Convention(
    order="bgr",
    mean=(104.00698793 / 255, 116.66876762 / 255, 122.67891434 / 255),
    std=(1 / 255, 1 / 255, 1 / 255),
)

# What Detectron and OpenMMLab feed to weights that were converted from Caffe.
CAFFE_OPENMMLAB = Convention(
    order="bgr",
    mean=(103.53 / 255, 116.28 / 255, 123.675 / 255),
    std=(1 / 255, 1 / 255, 1 / 255),
)

CONVENTIONS = {"imagenet": IMAGENET, "caffe": CAFFE_OPENMMLAB, "cirkd": CAFFE}


@dataclass(frozen=True, kw_only=True)
class Family:
    """One published way to build a backbone and a dense head.

    Args:
        convention: of the input.
        stem_width: w of a deep stem of three 3x3 convolutions (w, w, 2w); None for a single 7x7.
        dilation: which 3x3 convolutions of a dilated ResNet stage carry the stage's dilation d.
            ``first_conv``: in a basic block the first one alone; ``halved``: all; both with d / 2
            in the first convolution of the stage's first block. ``full``: all, the first block's
            included.
        ceil_pool: the stem's max-pooling rounds its output size up.
        align_corners: of every bilinear resize.
        negative_slope: of the leaky ReLU in the heads; 0 is a ReLU.
        pyramid_first: PSPNet's pyramid levels precede the backbone's features in the head's input.
        auxiliary_bias: the auxiliary head's 3x3 convolution has a bias.
        aspp: how DeepLabV3 joins its branches. ``bottleneck``: the image's mean first, one 3x3
            convolution on the five branches. ``project``: the mean last, a 1x1 convolution before
            the 3x3 one.
        dropout: what the heads drop before their classifiers, a tenth of all ``channels`` or of all
            ``elements``.
        aspp_width: narrowest and widest head of DeepLabV3, of which a quarter of the last map is
            brought into this range; None for that quarter itself.
        upernet: whose UPerNet. ``mmseg``: strides 4 to 32, logits at stride 4. ``cirkd``: a
            backbone dilated to stride 8, pooled cells projected after upsampling, logits at
            stride 8.
        mobile_padding: of MobileNetV3's strided convolutions. ``torch``: the same on all sides;
            ``tensorflow``: more at the bottom and right, and convolutions that lose their stride
            take the new dilation at once.
        mobilevit: whose MobileViT. ``original``: its authors', dilated in the 3x3 convolutions of the
            transformers' blocks; ``cirkd``: no activation behind a transformer, and the depthwise
            convolutions alone are dilated, at once by the new dilation.
        style: which convolution of a bottleneck has its stride: the 3x3 (``pytorch``) or the 1x1
            before it (``caffe``).
        head_init: how a head's weights begin, see :mod:`densekd.models.initialize`.
        resnet_init: how a ResNet's weights begin.
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
    upernet: Literal["mmseg", "cirkd"]
    mobile_padding: Literal["torch", "tensorflow"]
    head_init: Literal["openmmlab", "torch"]
    resnet_init: Literal["openmmlab", "kaiming", "torch"]
    mobilevit: Literal["original", "cirkd"] = "original"
    aspp_width: tuple[int, int] | None = None
    style: Literal["pytorch", "caffe"] = "pytorch"
    dropout: Literal["channels", "elements"] = "channels"


# OpenMMLab's ResNetV1c ("mmseg") and ResNet ("mmseg_b").
_MMSEG = Family(
    convention=IMAGENET,
    stem_width=32,
    dilation="first_conv",
    ceil_pool=False,
    align_corners=False,
    negative_slope=0.0,
    pyramid_first=False,
    auxiliary_bias=False,
    aspp="bottleneck",
    upernet="mmseg",
    mobile_padding="torch",
    head_init="openmmlab",
    resnet_init="openmmlab",
)
# CIRKD's and HWD's ResNets, deep stem or plain ("vanilla").
_CIRKD = Family(
    convention=CAFFE,
    stem_width=64,
    dilation="halved",
    ceil_pool=False,
    align_corners=True,
    negative_slope=0.0,
    pyramid_first=False,
    auxiliary_bias=False,
    aspp="project",
    upernet="cirkd",
    mobile_padding="tensorflow",
    head_init="torch",
    resnet_init="kaiming",
    mobilevit="cirkd",
    dropout="elements",
)
# TorchDistiller's PSPNets.
_TORCHDISTILLER = Family(
    convention=CAFFE,
    stem_width=64,
    dilation="full",
    ceil_pool=True,
    align_corners=True,
    negative_slope=0.01,
    pyramid_first=True,
    auxiliary_bias=True,
    aspp="bottleneck",
    upernet="mmseg",
    mobile_padding="torch",
    head_init="torch",
    resnet_init="torch",
)

FAMILIES: dict[str, Family] = {
    "mmseg": _MMSEG,
    "mmseg_b": replace(_MMSEG, stem_width=None),
    "cirkd": _CIRKD,
    # The same networks at the widths that were trained: HWD's (and CIRKD's first version's) and
    # those of CIRKD's second version.
    "hwd": replace(_CIRKD, aspp_width=(128, 256)),
    "cirkdv2": replace(_CIRKD, aspp_width=(512, 512)),
    "cirkd_vanilla": replace(_CIRKD, stem_width=None),
    # Its second MobileNetV2, of the project SSSeg, is dilated as OpenMMLab's.
    "cirkd_ssseg": replace(_CIRKD, dilation="first_conv"),
    "mmdet": replace(_MMSEG, stem_width=None),
    "mmdet_caffe": replace(_MMSEG, stem_width=None, convention=CAFFE_OPENMMLAB, style="caffe"),
    "torchdistiller": _TORCHDISTILLER,
}


def find_family(name: str) -> Family:
    """Return a family by name.

    Raises:
        RecipeError: an unknown name.
    """
    if name not in FAMILIES:
        raise RecipeError(f"Unknown family '{name}'. {suggest(name, FAMILIES)}")
    return FAMILIES[name]
