"""SegFormer (Xie et al., NeurIPS 2021, arXiv 2105.15203): mix transformers with an all-MLP head."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from densekd.errors import RecipeError, suggest
from densekd.models.blocks import JoinedConv2d, conv_norm_act, norm_act
from densekd.models.families import CAFFE, IMAGENET, Convention
from densekd.models.freeze import Role
from densekd.models.initialize import (
    initialize_cirkd_decoder,
    initialize_head,
    initialize_mmseg_mit,
    kaiming_fan_out,
)
from densekd.models.mit import MITS, MixTransformer
from densekd.models.segmentor import Segmentor
from densekd.ops.ranges import Channels


@dataclass(frozen=True, kw_only=True)
class SegformerFamily:
    """One published way to build SegFormer; the two kinds of head are different networks.

    Args:
        convention: of the input.
        head: ``linear``: plain projections, joined from the deepest to the finest (NVlabs).
            ``conv``: with batch norm and ReLU, joined from the finest (mmsegmentation).
        norm_eps: see :class:`densekd.models.mit.MixTransformer`.
        fuse_bias: the convolution that joins has a bias.
        align_corners: of the upsampling of the logits; inside the head it is off.
        dropout: share of channels dropped before the classifier.
    """

    convention: Convention
    head: Literal["linear", "conv"]
    norm_eps: float
    fuse_bias: bool
    align_corners: bool
    dropout: float


SEGFORMERS = {
    "nvlabs": SegformerFamily(
        convention=IMAGENET,
        head="linear",
        norm_eps=1e-5,
        fuse_bias=False,
        align_corners=False,
        dropout=0.1,
    ),
    "mmseg": SegformerFamily(
        convention=IMAGENET,
        head="conv",
        norm_eps=1e-6,
        fuse_bias=False,
        align_corners=False,
        dropout=0.1,
    ),
    "cirkd": SegformerFamily(
        convention=CAFFE,
        head="linear",
        norm_eps=1e-5,
        fuse_bias=True,
        align_corners=True,
        dropout=0.0,
    ),
}


class SegformerHead(nn.Module):
    """All-MLP head: project every map to one width, upsample to the finest, fuse by 1x1, classify.

    Args:
        inputs: channels of the four maps.
        channels: width.
        num_classes: C.
        family: kind of projection and order.

    Shape:
        four maps, the finest ``[B, inputs[0], H, W]`` -> ``[B, C, H, W]``.
    """

    def __init__(self, inputs: tuple[int, ...], channels: int, num_classes: int, family: SegformerFamily) -> None:
        super().__init__()
        self.deepest_first = family.head == "linear"
        # One projection per map. A linear layer on tokens is a 1x1 convolution on their map.
        self.projections = nn.ModuleList()
        for width in inputs:
            if family.head == "linear":
                self.projections.append(nn.Conv2d(width, channels, 1))
            else:
                self.projections.append(conv_norm_act(width, channels, 1))
        # The finest map, whose size the others are upsampled to, is the last or the first.
        like = -1 if self.deepest_first else 0
        fuse = JoinedConv2d(len(inputs) * channels, channels, 1, like=like, bias=family.fuse_bias)
        self.bottleneck = norm_act(fuse)
        self.dropout = nn.Dropout2d(family.dropout)
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return logits at the stride of the finest map."""
        projected = [project(x) for project, x in zip(self.projections, features, strict=True)]
        # The order of concatenation is part of the weights.
        if self.deepest_first:
            projected.reverse()
        fused = self.bottleneck(projected)
        logits: Tensor = self.classifier(self.dropout(fused))
        return logits


def segformer(
    num_classes: int,
    backbone: str = "mit_b0",
    family: str = "nvlabs",
    channels: Channels | None = None,
    freeze: Sequence[Role] = (),
) -> Segmentor:
    """Build a SegFormer.

    Args:
        num_classes: C; supplied by the build.
        backbone: ``mit_b0`` to ``mit_b5``.
        family: ``nvlabs`` (also SegDistill), ``mmseg`` or ``cirkd``.
        channels: width of the head; by default 256 for b0 and b1 and in mmsegmentation, else 768.
        freeze: parts of the backbone that do not learn: ``stem``, ``stage1``, ..., ``stage4``, see
            :mod:`densekd.models.freeze`; goes with ``pretrained``.

    Raises:
        RecipeError: an unknown backbone or family.
    """
    if backbone not in MITS:
        raise RecipeError(f"Unknown backbone '{backbone}' of SegFormer. {suggest(backbone, MITS)}")
    if family not in SEGFORMERS:
        raise RecipeError(f"Unknown family '{family}' of SegFormer. {suggest(family, SEGFORMERS)}")
    spec = SEGFORMERS[family]
    if channels is None:
        # NVlabs widen the head with the encoder, mmsegmentation does not.
        narrow = backbone in ("mit_b0", "mit_b1") or family == "mmseg"
        channels = 256 if narrow else 768
    widths, _ = MITS[backbone]
    head = SegformerHead(widths, channels, num_classes, spec)
    body = MixTransformer(backbone, spec.norm_eps)
    _initialize(body, head, family)
    return Segmentor(spec.convention, body, head, None, spec.align_corners, freeze)


def _initialize(body: MixTransformer, head: SegformerHead, family: str) -> None:
    """Initialize what does not begin as torch's layers and NVlabs' encoder do."""
    if family == "cirkd":
        initialize_cirkd_decoder(head)
    elif family == "mmseg":
        initialize_mmseg_mit(body)
        initialize_head(head, "openmmlab")
    else:
        # NVlabs' one ConvModule; projections and classifier are plain layers.
        head.bottleneck.apply(kaiming_fan_out)
