"""PSPNet (Zhao et al., CVPR 2017, arXiv 1612.01105) on a dilated backbone, output stride 8."""

from densekd.models.backbones import make_backbone
from densekd.models.families import find_family
from densekd.models.heads import FCNHead, PSPHead
from densekd.models.segmentor import Segmentor


def pspnet(
    num_classes: int,
    backbone: str = "resnet18",
    family: str = "mmseg",
    channels: int | None = None,
    auxiliary_channels: int | None = None,
) -> Segmentor:
    """Build a PSPNet with an auxiliary FCN head on the third stage.

    Args:
        num_classes: C; supplied by the build.
        backbone: see :data:`densekd.models.backbones.BACKBONES`.
        family: stem, dilations, resizing and input convention, see :data:`densekd.models.families.FAMILIES`; the ones
            with a 7x7 stem (``mmseg_b``, ``cirkd_vanilla``) fit timm's plain ResNet weights.
        channels: width of the head; by default a quarter of the last map (128 for ResNet-18, 512 for -50 and -101).
        auxiliary_channels: width of the auxiliary head; by default a quarter of the third map, 0 for none.

    Raises:
        RecipeError: an unknown backbone or family.
    """
    kind = find_family(family)
    body = make_backbone(backbone, kind, output_stride=8)
    head = PSPHead(body.channels[-1], channels or body.channels[-1] // 4, num_classes, kind)
    width = body.channels[2] // 4 if auxiliary_channels is None else auxiliary_channels
    auxiliary = FCNHead(body.channels[2], width, num_classes, kind) if width else None
    return Segmentor(kind.convention, body.module, head, auxiliary, kind.align_corners)
