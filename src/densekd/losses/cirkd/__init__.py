"""CIRKD: cross-image relational distillation for segmentation (Yang et al., CVPR 2022, arXiv
2204.06986) and its sequel CIRKDv2 (winycg/CIRKD@dab64db).

``minibatch.py`` relates the pixels of a batch, ``memory.py`` pixels and a memory bank of earlier
images; ``channel.py`` is CIRKDv2's, which relates channels by both. The memory banks are in
``memory_bank.py``, the student's projection in ``projection.py``.
"""

from densekd.losses.cirkd.channel import CIRKDChannel
from densekd.losses.cirkd.memory import CIRKDMemory
from densekd.losses.cirkd.minibatch import CIRKDMiniBatch

__all__ = ["CIRKDChannel", "CIRKDMemory", "CIRKDMiniBatch"]
