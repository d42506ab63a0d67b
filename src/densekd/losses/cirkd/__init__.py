"""CIRKD and CIRKDv2: relations across images, within a batch and through a memory."""

from densekd.losses.cirkd.channel import CIRKDChannel
from densekd.losses.cirkd.memory import CIRKDMemory
from densekd.losses.cirkd.minibatch import CIRKDMiniBatch

__all__ = ["CIRKDChannel", "CIRKDMemory", "CIRKDMiniBatch"]
