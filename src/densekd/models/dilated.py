"""PSPNet, DeepLabV3, DeepLabV3+, FCN: dilated to output stride 8, auxiliary head on stage 3."""

from collections.abc import Sequence

from densekd.models.backbones import Backbone, make_backbone
from densekd.models.families import Family, find_family
from densekd.models.freeze import Role
from densekd.models.heads import ASPPHead, DeepFCNHead, FCNHead, PSPHead, SeparableASPPHead
from densekd.models.initialize import initialize_head
from densekd.models.segmentor import Segmentor
from densekd.ops.ranges import Channels, OptionalChannels, PositiveInt

# Stages three and four keep the size of stage two; dilation gives them their field of view.
OUTPUT_STRIDE = 8


def pspnet(
    num_classes: int,
    backbone: str = "resnet18",
    family: str = "mmseg",
    channels: Channels | tuple[Channels, Channels] | None = None,
    auxiliary_channels: OptionalChannels | None = None,
    freeze: Sequence[Role] = (),
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
        freeze: parts of the backbone that do not learn: ``stem``, ``stage1``, ..., ``stage4``, see
            :mod:`densekd.models.freeze`; goes with ``pretrained``.

    Raises:
        RecipeError: an unknown backbone or family.
    """
    spec = find_family(family)
    body = make_backbone(backbone, spec, OUTPUT_STRIDE)
    deepest = body.channels[-1]
    head = PSPHead(deepest, channels or deepest // 4, num_classes, spec)
    auxiliary = _auxiliary_head(body, auxiliary_channels, num_classes, spec)
    initialize_head(head, spec.head_init)
    return Segmentor(spec.convention, body.module, head, auxiliary, spec.align_corners, freeze)


def deeplabv3(
    num_classes: int,
    backbone: str = "resnet18",
    family: str = "mmseg",
    channels: Channels | None = None,
    auxiliary_channels: OptionalChannels | None = None,
    freeze: Sequence[Role] = (),
) -> Segmentor:
    """Build a DeepLabV3 (Chen et al., 2017, arXiv 1706.05587) with rates 12, 24, 36.

    Args:
        num_classes: C; supplied by the build.
        backbone: see :data:`densekd.models.backbones.BACKBONES`.
        family: as for :func:`pspnet`; CIRKD's and mmsegmentation's heads differ.
        channels: width of the head; by default a quarter of the last map, which the families
            ``hwd`` (128 to 256) and ``cirkdv2`` (512) bring into their range.
        auxiliary_channels: as for :func:`pspnet`.
        freeze: as for :func:`pspnet`.

    Raises:
        RecipeError: an unknown backbone or family.
    """
    spec = find_family(family)
    body = make_backbone(backbone, spec, OUTPUT_STRIDE)
    deepest = body.channels[-1]
    if channels is None:
        channels = deepest // 4
        if spec.aspp_width is not None:
            least, most = spec.aspp_width
            channels = min(max(channels, least), most)
    head = ASPPHead(deepest, channels, num_classes, spec)
    auxiliary = _auxiliary_head(body, auxiliary_channels, num_classes, spec)
    initialize_head(head, spec.head_init)
    return Segmentor(spec.convention, body.module, head, auxiliary, spec.align_corners, freeze)


def deeplabv3plus(
    num_classes: int,
    backbone: str = "resnet18",
    family: str = "mmseg",
    channels: tuple[PositiveInt, PositiveInt] | None = None,
    auxiliary_channels: OptionalChannels | None = None,
    freeze: Sequence[Role] = (),
) -> Segmentor:
    """Build a DeepLabV3+ (Chen et al., ECCV 2018, arXiv 1802.02611) with separable convolutions.

    Args:
        num_classes: C; supplied by the build.
        backbone: see :data:`densekd.models.backbones.BACKBONES`.
        family: as for :func:`pspnet`.
        channels: width of the head, and of the finest features in it; by default a quarter of the
            last map, and 12 below 512, else 48, as in mmsegmentation.
        auxiliary_channels: as for :func:`pspnet`.
        freeze: as for :func:`pspnet`.

    Raises:
        RecipeError: an unknown backbone or family.
    """
    spec = find_family(family)
    body = make_backbone(backbone, spec, OUTPUT_STRIDE)
    if channels is None:
        # mmsegmentation adds 48 channels of detail to a wide head, 12 to a narrow one.
        quarter = body.channels[-1] // 4
        channels = (quarter, 48 if quarter >= 512 else 12)
    # The decoder adds the detail of the finest map to the context of the deepest.
    inputs = (body.channels[0], body.channels[-1])
    head = SeparableASPPHead(inputs, channels, num_classes, spec)
    auxiliary = _auxiliary_head(body, auxiliary_channels, num_classes, spec)
    initialize_head(head, spec.head_init)
    return Segmentor(spec.convention, body.module, head, auxiliary, spec.align_corners, freeze)


def fcn(
    num_classes: int,
    backbone: str = "resnet18",
    family: str = "mmseg",
    channels: Channels | None = None,
    auxiliary_channels: OptionalChannels | None = None,
    freeze: Sequence[Role] = (),
) -> Segmentor:
    """Build mmsegmentation's fully convolutional network (Long et al., CVPR 2015, arXiv 1411.4038).

    Args:
        num_classes: C; supplied by the build.
        backbone: see :data:`densekd.models.backbones.BACKBONES`.
        family: as for :func:`pspnet`.
        channels: width of the head; by default a quarter of the last map.
        auxiliary_channels: as for :func:`pspnet`.
        freeze: as for :func:`pspnet`.

    Raises:
        RecipeError: an unknown backbone or family.
    """
    spec = find_family(family)
    body = make_backbone(backbone, spec, OUTPUT_STRIDE)
    deepest = body.channels[-1]
    head = DeepFCNHead(deepest, channels or deepest // 4, num_classes)
    auxiliary = _auxiliary_head(body, auxiliary_channels, num_classes, spec)
    initialize_head(head, spec.head_init)
    return Segmentor(spec.convention, body.module, head, auxiliary, spec.align_corners, freeze)


def _auxiliary_head(body: Backbone, channels: int | None, num_classes: int, family: Family) -> FCNHead | None:
    """Build the auxiliary head on the third map, a quarter as wide by default; none where its width is 0."""
    third = body.channels[2]
    if channels is None:
        channels = third // 4
    if channels == 0:
        return None
    auxiliary = FCNHead(third, channels, num_classes, family)
    initialize_head(auxiliary, family.head_init)
    return auxiliary
