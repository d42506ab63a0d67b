"""Segmentation heads, feature maps to logits. All end in ``bottleneck`` and ``classifier``."""

from densekd.models.heads.aspp import ASPPHead, SeparableASPPHead
from densekd.models.heads.fcn import DeepFCNHead, FCNHead
from densekd.models.heads.fpn import FPNHead
from densekd.models.heads.psp import PSPHead
from densekd.models.heads.uper import UPerHead

__all__ = [
    "ASPPHead",
    "DeepFCNHead",
    "FCNHead",
    "FPNHead",
    "PSPHead",
    "SeparableASPPHead",
    "UPerHead",
]
