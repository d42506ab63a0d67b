"""Semantic FPN: any backbone at stride 32 with a light feature pyramid head at stride 4."""

from collections.abc import Sequence

from densekd.models.backbones import make_backbone
from densekd.models.families import find_family
from densekd.models.freeze import Role
from densekd.models.heads import FPNHead
from densekd.models.segmentor import Segmentor
from densekd.ops.ranges import Channels


def fpn(
    num_classes: int,
    backbone: str = "resnet18",
    channels: Channels = 128,
    dropout: float = 0.0,
    family: str = "mmseg",
    freeze: Sequence[Role] = (),
) -> Segmentor:
    """Build a feature pyramid network with pyramid pooling, without auxiliary head.

    Args:
        num_classes: C; supplied by the build.
        backbone: see :data:`densekd.models.backbones.BACKBONES`.
        channels: width of the pyramid.
        dropout: share of channels dropped before the classifier.
        family: stem and input convention; ``mmseg_b`` fits timm's plain ResNet weights.
        freeze: parts of the backbone that do not learn: ``stem``, ``stage1``, ..., ``stage4``, see
            :mod:`densekd.models.freeze`; goes with ``pretrained``.

    Raises:
        RecipeError: an unknown backbone or family.
    """
    spec = find_family(family)
    body = make_backbone(backbone, spec, output_stride=32)
    # No dilation: the head restores the resolution, and the backbone stays fast.
    head = FPNHead(body.channels, channels, num_classes, dropout)
    return Segmentor(spec.convention, body.module, head, None, spec.align_corners, freeze)
