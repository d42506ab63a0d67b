"""PSPNet, DeepLabV3, DeepLabV3+, FCN: dilated to output stride 8, auxiliary head on stage 3."""

from torch import nn

from densekd.models.backbones import Backbone, make_backbone
from densekd.models.families import Family, find_family
from densekd.models.heads import ASPPHead, DeepFCNHead, FCNHead, PSPHead, SeparableASPPHead
from densekd.models.segmentor import Segmentor

OUTPUT_STRIDE = 8


def pspnet(
    num_classes: int,
    backbone: str = "resnet18",
    family: str = "mmseg",
    channels: int | tuple[int, int] | None = None,
    auxiliary_channels: int | None = None,
) -> Segmentor:
    """Build a PSPNet (Zhao et al., CVPR 2017, arXiv 1612.01105).

    Args:
        num_classes: C; supplied by the build.
        backbone: see :data:`densekd.models.backbones.BACKBONES`.
        family: stem, dilations, resizing and input convention, see
            :data:`densekd.models.families.FAMILIES`; the ones with a 7x7 stem (``mmseg_b``,
            ``cirkd_vanilla``) fit timm's plain ResNet weights.
        channels: width of the head, or of its pyramid levels and of its bottleneck; by default a
            quarter of the last map (128 for ResNet-18, 512 for -50 and -101).
        auxiliary_channels: width of the auxiliary head; by default a quarter of the third map, 0
            for none.

    Raises:
        RecipeError: an unknown backbone or family.
    """
    spec = find_family(family)
    body = make_backbone(backbone, spec, OUTPUT_STRIDE)
    deepest = body.channels[-1]
    head = PSPHead(deepest, channels or deepest // 4, num_classes, spec)
    return _assemble(spec, body, head, num_classes, auxiliary_channels)


def deeplabv3(
    num_classes: int,
    backbone: str = "resnet18",
    family: str = "mmseg",
    channels: int | None = None,
    auxiliary_channels: int | None = None,
) -> Segmentor:
    """Build a DeepLabV3 (Chen et al., 2017, arXiv 1706.05587) with rates 12, 24, 36.

    Args:
        num_classes: C; supplied by the build.
        backbone: see :data:`densekd.models.backbones.BACKBONES`.
        family: as for :func:`pspnet`; CIRKD's and mmsegmentation's heads differ.
        channels: width of the head; by default a quarter of the last map. CIRKD has 512, HWD 128
            and 256.
        auxiliary_channels: as for :func:`pspnet`.

    Raises:
        RecipeError: an unknown backbone or family.
    """
    spec = find_family(family)
    body = make_backbone(backbone, spec, OUTPUT_STRIDE)
    deepest = body.channels[-1]
    head = ASPPHead(deepest, channels or deepest // 4, num_classes, spec)
    return _assemble(spec, body, head, num_classes, auxiliary_channels)


def deeplabv3plus(
    num_classes: int,
    backbone: str = "resnet18",
    family: str = "mmseg",
    channels: tuple[int, int] | None = None,
    auxiliary_channels: int | None = None,
) -> Segmentor:
    """Build a DeepLabV3+ (Chen et al., ECCV 2018, arXiv 1802.02611) with separable convolutions.

    Args:
        num_classes: C; supplied by the build.
        backbone: see :data:`densekd.models.backbones.BACKBONES`.
        family: as for :func:`pspnet`.
        channels: width of the head, and of the finest features in it; by default a quarter of the
            last map, and 12 below 512, else 48, as in mmsegmentation.
        auxiliary_channels: as for :func:`pspnet`.

    Raises:
        RecipeError: an unknown backbone or family.
    """
    spec = find_family(family)
    body = make_backbone(backbone, spec, OUTPUT_STRIDE)
    if channels is None:
        quarter = body.channels[-1] // 4
        channels = (quarter, 48 if quarter >= 512 else 12)
    inputs = (body.channels[0], body.channels[-1])
    head = SeparableASPPHead(inputs, channels, num_classes, spec)
    return _assemble(spec, body, head, num_classes, auxiliary_channels)


def fcn(
    num_classes: int,
    backbone: str = "resnet18",
    family: str = "mmseg",
    channels: int | None = None,
    auxiliary_channels: int | None = None,
) -> Segmentor:
    """Build mmsegmentation's fully convolutional network (Long et al., CVPR 2015, arXiv 1411.4038).

    Args:
        num_classes: C; supplied by the build.
        backbone: see :data:`densekd.models.backbones.BACKBONES`.
        family: as for :func:`pspnet`.
        channels: width of the head; by default a quarter of the last map.
        auxiliary_channels: as for :func:`pspnet`.

    Raises:
        RecipeError: an unknown backbone or family.
    """
    spec = find_family(family)
    body = make_backbone(backbone, spec, OUTPUT_STRIDE)
    deepest = body.channels[-1]
    head = DeepFCNHead(deepest, channels or deepest // 4, num_classes)
    return _assemble(spec, body, head, num_classes, auxiliary_channels)


def _assemble(
    family: Family, body: Backbone, head: nn.Module, num_classes: int, auxiliary_channels: int | None
) -> Segmentor:
    """Put backbone and head together, with the auxiliary head where its width is not 0."""
    third = body.channels[2]
    width = third // 4 if auxiliary_channels is None else auxiliary_channels
    auxiliary = FCNHead(third, width, num_classes, family) if width else None
    return Segmentor(family.convention, body.module, head, auxiliary, family.align_corners)
