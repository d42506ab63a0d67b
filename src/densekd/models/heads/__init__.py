"""Dense heads: from feature maps to logits. Each ends in ``dropout`` and ``classifier``."""

from densekd.models.heads.fcn import FCNHead
from densekd.models.heads.fpn import FPNHead
from densekd.models.heads.psp import PSPHead

__all__ = ["FCNHead", "FPNHead", "PSPHead"]
