"""Matting: the opacity of the foreground at every pixel."""

from densekd.tasks.matting.task import Matting

__all__ = ["Matting"]
