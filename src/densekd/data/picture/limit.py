"""Largest picture that is decoded, in megapixels: ``data.max_megapixels``."""

from typing import Literal

# 20,000 x 20,000 pixels, 1.2 GB once they are decoded.
DEFAULT_MEGAPIXELS = 400.0

# What a recipe says, and what a command was told, which counts more.
_limits: dict[str, float | None] = {"recipe": DEFAULT_MEGAPIXELS, "command": None}


def max_megapixels() -> float:
    """Return the largest picture that this process decodes, in megapixels."""
    return _limits["command"] or _limits["recipe"] or DEFAULT_MEGAPIXELS


def set_max_megapixels(megapixels: float | None, who: Literal["recipe", "command"] = "recipe") -> None:
    """Set the largest picture that this process decodes: a damaged header may claim any size.

    Args:
        megapixels: width times height, in millions; None: nothing was said.
        who: says it; a command counts more than a recipe.
    """
    _limits[who] = megapixels


def set_in_worker(megapixels: float, worker: int) -> None:
    """Set the limit in a loading process, which may not inherit it."""
    set_max_megapixels(megapixels)


def require_size(size: tuple[int, int]) -> None:
    """Refuse a picture beyond the limit.

    Args:
        size: width and height.

    Raises:
        ValueError: it is larger.
    """
    width, height = size
    pixels = width * height
    if pixels > 1e6 * max_megapixels():
        # A header may claim a number that no float holds.
        megapixels = min(pixels, 10**15) / 1e6
        raise ValueError(
            f"it has {width} x {height} pixels, {megapixels:.1f} megapixels, and at most {max_megapixels():g} are "
            f"decoded, to protect the memory; to read it, write 'data: {{max_megapixels: {int(megapixels) + 1}}}' in "
            f"the recipe, or --max-megapixels {int(megapixels) + 1} for 'evaluate' and 'predict'"
        )
