"""Scores as plain data, so that two of them can be compared by ``==``."""

from typing import Any

from torch import Tensor


def plain(scores: dict[str, Any]) -> dict[str, Any]:
    """Return scores with tensors as lists."""
    return {key: value.tolist() if isinstance(value, Tensor) else value for key, value in scores.items()}
