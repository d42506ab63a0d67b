"""Reading weights from files: found, read without running code, and matched key by key or refused."""

from densekd.models.checkpoints.load import Match, load_matched, read_state

__all__ = ["Match", "load_matched", "read_state"]
