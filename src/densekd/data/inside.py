"""Whether images that a data set's files name lie in its folders."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path


def is_inside(path: Path, folders: Iterable[Path]) -> bool:
    """Tell whether a path, read without following links, stays in one of some folders.

    A link in a folder is the owner's word, ``../`` in a file that came with the images is not.

    Args:
        path: may have ``..`` in it.
        folders: may have too.
    """
    plain = _plain(path)
    return any(plain.is_relative_to(_plain(folder)) for folder in folders)


def outside_note(images: Sequence[Path], home: Path, named_by: Path) -> tuple[str, ...]:
    """Remark on images that lie outside the folder of their data.

    Args:
        images: of a split.
        home: the folder of the data.
        named_by: the file that leads to them.
    """
    outside = [image for image in images if not is_inside(image, (home,))]
    if not outside:
        return ()
    return (
        f"images: {len(outside)} of {len(images)} that {named_by} leads to lie outside {home}, the first: "
        f"{_plain(outside[0])}.",
    )


def _plain(path: Path) -> Path:
    # Path.resolve would follow links.
    return Path(os.path.abspath(path))  # noqa: PTH100
