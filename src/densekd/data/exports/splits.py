"""Split of an export: the tool's own, folders of images, lists, or a draw."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from densekd.data.exports.shapes import Annotated
from densekd.data.holdout import ALL, Holdout, has_lists, held_out
from densekd.errors import RecipeError, UserError

USUAL = ("train", "val", "valid", "validation", "test")
_OTHER_NAMES = {"val": ("valid", "validation"), "valid": ("val",), "validation": ("val",)}


def choose(root: Path, split: str, images: Sequence[Annotated], holdout: Holdout | None) -> tuple[Annotated, ...]:
    """Return the images of a split.

    Images divided by the tool, or by folders of the split's name, are in that split; else the lists
    in ``splits`` say it, which ``data.split`` draws once.

    Args:
        root: of the data.
        split: its name.
        images: of all splits.
        holdout: how to draw; None: not.

    Raises:
        UserError: no such split, or images that cannot be told apart.
        RecipeError: a draw where splits are there.
    """
    there = splits_of(images)
    if holdout is not None and len(there) > 1:
        raise RecipeError(
            f"data.split: {root} has splits already, {', '.join(there)}; remove data.split from the recipe."
        )
    if holdout is not None or has_lists(root):
        _require_stems(root, images)
        return held_out(root, split, images, holdout)
    if split == ALL and not there:
        return tuple(images)
    for name in (split, *_OTHER_NAMES.get(split, ())):
        found = tuple(one for one in images if is_in(one, name))
        if found:
            return found
    raise no_split(root, split, there)


def no_split(root: Path, split: str, there: Sequence[str]) -> UserError:
    """Return the error for a split that is not there; it says which are, and how to draw them."""
    return UserError(
        f"{root}: no split '{split}'; there is {', '.join(there) or 'none'}. To divide the images, write "
        "data.split: {val: 0.2, seed: 0}; it is drawn once and written to 'splits' beside the data."
    )


def splits_of(images: Sequence[Annotated]) -> list[str]:
    """List the splits that the tool, or folders of the usual names, divide the images into."""
    found = {one.split for one in images if one.split is not None}
    for name in USUAL:
        if any(is_in(one, name) for one in images):
            found.add(name)
    return sorted(found)


def is_in(image: Annotated, split: str) -> bool:
    """Return True where the tool or a folder says that an image is in a split."""
    return split in (image.split, *PurePosixPath(image.stem).parts[:-1])


def _require_stems(root: Path, images: Sequence[Annotated]) -> None:
    """Refuse images that lists of stems cannot tell apart."""
    stem, count = Counter(one.stem for one in images).most_common(1)[0]
    if count > 1:
        raise UserError(f"{root}: {count} images are named '{stem}', but for their suffix; rename or remove one.")
