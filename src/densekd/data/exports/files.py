"""Files of exports: JSON with its errors, and images where annotations say or near it."""

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from densekd.data.exports.shapes import Annotated
from densekd.data.files import IMAGE_SUFFIXES, read_lines
from densekd.data.found import Source
from densekd.errors import UserError
from densekd.parsers import load_json
from densekd.parsers import read_json as read_any_json

# Label Studio puts eight digits before the name of an uploaded file.
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: it cannot be read, or is no JSON.
    """
    return read_any_json(path, "Restore or export it again.")


def posix(name: str) -> str:
    """Return a path with slashes, as Windows' tools do not write it."""
    return name.replace("\\", "/")


class InsideJson(NamedTuple):
    """An image that a LabelMe file holds, in base64.

    Args:
        path: of the JSON file.
        name: of the image.
    """

    path: Path
    name: str

    def read_bytes(self) -> bytes:
        """Return the bytes of the image.

        Raises:
            OSError: the file holds no image any more.
        """
        try:
            return base64.b64decode(load_json(self.path)["imageData"])
        except (ValueError, KeyError, TypeError, binascii.Error) as error:
            raise OSError(f"no image in imageData ({error})") from error

    @property
    def suffix(self) -> str:
        """The suffix of the image."""
        return PurePosixPath(self.name).suffix

    def __str__(self) -> str:
        """Return the JSON file's name and the image's."""
        return f"{self.path} ({self.name})"


class Pictures:
    """All images below a folder, found by the end of their paths."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._by_name: dict[str, list[Path]] = {}
        for path in sorted(root.rglob("*")):
            if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith("."):
                continue
            self._by_name.setdefault(path.name, []).append(path)

    def find(self, name: str) -> Path | None:
        """Return the image that shares most of its path's end with a name; None where there is none.

        Args:
            name: a path or URL as a tool wrote it.

        Raises:
            UserError: several that share as much.
        """
        wanted = PurePosixPath(posix(name))
        names = (wanted.name, _UPLOADED.sub("", wanted.name))
        for base in dict.fromkeys(names):
            candidates = self._by_name.get(base, [])
            if not candidates:
                continue
            shared = [_shared_end(path.parts, (*wanted.parts[:-1], base)) for path in candidates]
            best = [path for path, count in zip(candidates, shared, strict=True) if count == max(shared)]
            if len(best) > 1:
                raise UserError(f"{self.root}: '{name}' may be {best[0]} or {best[1]}; rename one.")
            return best[0]
        return None

    def stem(self, path: Path) -> str:
        """Return an image's path from the root, without suffix."""
        return path.relative_to(self.root).with_suffix("").as_posix()

    def without(self, used: Iterable[Source]) -> list[Path]:
        """Return the images that are not among the used ones."""
        taken = set(used)
        everything = [path for paths in self._by_name.values() for path in paths]
        return sorted(path for path in everything if path not in taken)


def names_of(path: Path, images: Sequence[Annotated], no_class: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the names of the classes: in the order of a list, if there is one, else by the alphabet.

    Args:
        path: of the list, a name a line.
        images: of all splits.
        no_class: names that are no classes.

    Raises:
        UserError: no class, or one that the list does not have.
    """
    used = {shape.name for one in images for shape in one.shapes if shape.name is not None}
    if not used:
        raise UserError(
            f"{path.parent}: no annotation has a class, so there is nothing to learn; is the export complete?"
        )
    if not path.is_file():
        return tuple(sorted(used))
    listed = [line.strip() for line in read_lines(path)]
    unknown = sorted(used - set(listed))
    if unknown:
        raise UserError(f"{path}: does not list '{unknown[0]}', which an annotation has; add it, or remove the file.")
    return tuple(name for name in listed if name not in no_class)


def missing_images(where: Path, missing: Iterable[str], count: int, root: Path) -> UserError:
    """Return the error for annotations whose images are not there."""
    names = list(missing)
    return UserError(
        f"{len(names)} of {count} images of {where} are not below {root}, the first: {names[0]}. Put the images "
        "there under their own names; exports often leave them out."
    )


def _shared_end(parts: Iterable[str], others: Iterable[str]) -> int:
    """Count the parts that two paths share at their ends."""
    count = 0
    for one, other in zip(reversed(list(parts)), reversed(list(others)), strict=False):
        if one != other:
            break
        count += 1
    return count
