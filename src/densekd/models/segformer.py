"""SegFormer (Xie et al., NeurIPS 2021, arXiv 2105.15203): mix transformers with an all-MLP head."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from densekd.errors import RecipeError, suggest
from densekd.models.blocks import JoinedConv2d, conv_norm_act, norm_act
from densekd.models.families import CAFFE, IMAGENET, Convention
from densekd.models.freeze import Role
from densekd.models.mit import MITS, MixTransformer
from densekd.models.segmentor import Segmentor


@dataclass(frozen=True)
class SegformerFamily:
    """One published way to build SegFormer; the two kinds of head are different networks.

    Args:
        convention: of the input.
        head: ``linear``: plain projections, joined from the deepest to the finest (NVlabs). ``conv``: with batch norm
            and ReLU, joined from the finest (mmsegmentation).
        norm_eps: see :class:`densekd.models.mit.MixTransformer`.
        fuse_bias: the convolution that joins has a bias.
        align_corners: of the logits' enlargement; inside the head it is off.
        dropout: share of channels dropped before the classifier.
    """

    convention: Convention
    head: Literal["linear", "conv"]
    norm_eps: float
    fuse_bias: bool
    align_corners: bool
    dropout: float


SEGFORMERS = {
    "nvlabs": SegformerFamily(IMAGENET, "linear", 1e-5, False, False, 0.1),
    "mmseg": SegformerFamily(IMAGENET, "conv", 1e-6, False, False, 0.1),
    "cirkd": SegformerFamily(CAFFE, "linear", 1e-5, True, True, 0.0),
}


class SegformerHead(nn.Module):
    """Project every map to one width, enlarge all to the finest, join them by a 1x1 convolution, classify.

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
        self.projections = nn.ModuleList(
            nn.Conv2d(c, channels, 1) if family.head == "linear" else conv_norm_act(c, channels, 1) for c in inputs
        )
        joined = JoinedConv2d(len(inputs) * channels, channels, 1, like=-1 if self.deepest_first else 0)
        if family.fuse_bias:
            joined.bias = nn.Parameter(torch.zeros(channels))
        self.bottleneck = norm_act(joined)
        self.dropout = nn.Dropout2d(family.dropout)
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return logits at the stride of the finest map."""
        projected = [project(x) for project, x in zip(self.projections, features, strict=True)]
        joined = self.bottleneck(projected[::-1] if self.deepest_first else projected)
        logits: Tensor = self.classifier(self.dropout(joined))
        return logits


def segformer(
    num_classes: int,
    backbone: str = "mit_b0",
    family: str = "nvlabs",
    channels: int | None = None,
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
    for name, known, what in ((backbone, MITS, "backbone"), (family, SEGFORMERS, "family")):
        if name not in known:
            raise RecipeError(f"Unknown {what} '{name}' of SegFormer. {suggest(name, known)}")
    kind = SEGFORMERS[family]
    width = channels or (256 if backbone in ("mit_b0", "mit_b1") or family == "mmseg" else 768)
    head = SegformerHead(MITS[backbone][0], width, num_classes, kind)
    body = MixTransformer(backbone, kind.norm_eps)
    return Segmentor(kind.convention, body, head, None, kind.align_corners, freeze)
