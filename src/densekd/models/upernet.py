"""UPerNet (Xiao et al., ECCV 2018, arXiv 1807.10221) on Swin transformers and ResNets."""

from collections.abc import Sequence

from densekd.models.backbones import Backbone, make_backbone
from densekd.models.families import find_family
from densekd.models.freeze import Role
from densekd.models.heads import FCNHead, UPerHead
from densekd.models.initialize import initialize_head
from densekd.models.segmentor import Segmentor
from densekd.models.swin import SWINS, Swin
from densekd.ops.ranges import Channels, OptionalChannels


def upernet(
    num_classes: int,
    backbone: str = "swin_tiny",
    family: str = "mmseg",
    channels: Channels | tuple[Channels, Channels] = 512,
    auxiliary_channels: OptionalChannels | None = None,
    freeze: Sequence[Role] = (),
) -> Segmentor:
    """Build a UPerNet with an auxiliary FCN head on the third stage.

    Args:
        num_classes: C; supplied by the build.
        backbone: ``swin_tiny``, ``swin_small``, ``swin_base``, ``swin_large`` (``_window12`` for
            windows of 12), or one of :data:`densekd.models.backbones.BACKBONES`.
        family: ``mmseg`` (strides 4 to 32) or ``cirkd`` (a dilated backbone, and logits at
            stride 8).
        channels: width of the head, or of its pooled levels and of all else: CIRKD's lite has 512
            and 128.
        auxiliary_channels: width of the auxiliary head; by default 256 on Swin, else a quarter of
            the third map; 0 for none (SegDistill's students).
        freeze: parts of the backbone that do not learn: ``stem``, ``stage1``, ..., ``stage4``, see
            :mod:`densekd.models.freeze`; goes with ``pretrained``.

    Raises:
        RecipeError: an unknown backbone or family.
    """
    spec = find_family(family)
    if backbone in SWINS:
        # Swin's strides are 4 to 32 in every family.
        swin = Swin(backbone)
        body = Backbone(swin, swin.channels)
        width = 256
    else:
        # CIRKD's UPerNet shares the dilated backbones of its other models.
        output_stride = 8 if spec.upernet == "cirkd" else 32
        body = make_backbone(backbone, spec, output_stride)
        width = body.channels[2] // 4
    if auxiliary_channels is not None:
        width = auxiliary_channels
    head = UPerHead(body.channels, channels, num_classes, spec)
    initialize_head(head, spec.head_init)
    auxiliary = None
    if width:
        auxiliary = FCNHead(body.channels[2], width, num_classes, spec)
        initialize_head(auxiliary, spec.head_init)
    return Segmentor(spec.convention, body.module, head, auxiliary, spec.align_corners, freeze)
