"""CIRKD's and HWD's small models by the names in their commands: mobile PSPNet and DeepLabV3, lite UPerNet."""

from collections.abc import Sequence

from densekd.models.backbones import make_backbone
from densekd.models.dilated import OUTPUT_STRIDE, deeplabv3
from densekd.models.families import find_family
from densekd.models.freeze import Role
from densekd.models.heads import PSPHead
from densekd.models.segmentor import Segmentor
from densekd.models.upernet import upernet

# Width of the last map before the classifier, whatever the backbone.
WIDTH = 128


def psp_mobile(
    num_classes: int,
    backbone: str = "mobilenetv2_100",
    family: str = "hwd",
    freeze: Sequence[Role] = (),
) -> Segmentor:
    """Build CIRKD's and HWD's PSPNet on a mobile backbone, without auxiliary head.

    The pooled levels are a quarter as wide as the last map, the bottleneck has 128 channels.

    Args:
        num_classes: C; supplied by the build.
        backbone: ``mobilenetv2_100`` (their ``mobilenetv2`` and ``mobile``), ``mobilenetv3_small_100``,
            ``mobilenetv3_large_100``, ``mobilevit_xxs``, ``mobilevit_xs`` or ``mobilevit_s``.
        family: ``hwd``, ``cirkd`` and ``cirkdv2`` are the same here; ``cirkd_ssseg`` for CIRKD's
            second MobileNetV2.
        freeze: parts of the backbone that do not learn: ``stem``, ``stage1``, ..., ``stage4``, see
            :mod:`densekd.models.freeze`; goes with ``pretrained``.

    Raises:
        RecipeError: an unknown backbone or family.
    """
    spec = find_family(family)
    body = make_backbone(backbone, spec, OUTPUT_STRIDE)
    deepest = body.channels[-1]
    head = PSPHead(deepest, (deepest // 4, WIDTH), num_classes, spec)
    return Segmentor(spec.convention, body.module, head, None, spec.align_corners, freeze)


def deeplabv3_mobile(
    num_classes: int,
    backbone: str = "mobilenetv2_100",
    family: str = "hwd",
    freeze: Sequence[Role] = (),
) -> Segmentor:
    """Build CIRKD's and HWD's DeepLabV3 on a mobile backbone: 128 channels wide, without auxiliary head.

    CIRKD's commands call it ``deeplab_mobile`` and, on MobileNetV3, ``deeplabv3_mobilenet_ssseg``.

    Args:
        num_classes: C; supplied by the build.
        backbone: as for :func:`psp_mobile`.
        family: as for :func:`psp_mobile`.
        freeze: as for :func:`psp_mobile`.

    Raises:
        RecipeError: an unknown backbone or family.
    """
    return deeplabv3(num_classes, backbone, family, WIDTH, 0, freeze)


def upernet_lite(
    num_classes: int,
    backbone: str = "resnet18",
    family: str = "cirkdv2",
    freeze: Sequence[Role] = (),
) -> Segmentor:
    """Build CIRKD's UPerNet whose pooled levels are 512 channels wide and all else 128.

    Args:
        num_classes: C; supplied by the build.
        backbone: one of :data:`densekd.models.backbones.BACKBONES`.
        family: ``cirkd``, ``cirkdv2`` or ``hwd``, which are the same here.
        freeze: as for :func:`psp_mobile`.

    Raises:
        RecipeError: an unknown backbone or family.
    """
    return upernet(num_classes, backbone, family, (512, WIDTH), None, freeze)
