"""Checkpoints: read without running code, recognized by their keys, loaded in full or refused."""

from densekd.models.checkpoints.file import Checkpoint
from densekd.models.checkpoints.load import Match, load_matched

__all__ = ["Checkpoint", "Match", "load_matched"]
