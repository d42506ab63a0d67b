"""What ``predict`` is given: files, folders, patterns, addresses and videos, brought together in one folder."""

import re
import shutil
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from glob import glob
from pathlib import Path
from typing import NamedTuple

from densekd.data.files import IMAGE_SUFFIXES
from densekd.data.listing import list_files
from densekd.errors import UserError
from densekd.models.open import Opened
from densekd.run.evaluation_data import Asked, asked_images

VIDEO_SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")
# The key of a recipe, as crop or evaluation.crop.
_KEY = re.compile(r"[A-Za-z_][\w.]*=")
_SCHEMES = ("http", "https", "file")
_SECONDS = 30
_MOST_BYTES = 1 << 30
_BLOCK = 1 << 20


class Inputs(NamedTuple):
    """Pictures and videos to predict.

    Args:
        folder: with every picture, under a name of its own, or one picture; None where there is none.
        videos: name of the output -> file.
    """

    folder: Path | None
    videos: dict[str, Path]

    def pictures(self) -> Path:
        """Return the folder of pictures.

        Raises:
            UserError: there are videos alone.
        """
        if self.folder is None:
            raise UserError("there is no picture among the inputs, and videos are no submission.")
        return self.folder


def is_override(text: str) -> bool:
    """Tell ``key=value`` from an input; what exists is an input, whatever its name."""
    return _KEY.match(text) is not None and not Path(text).exists()


def is_address(text: str) -> bool:
    """Tell the address of a file from a path."""
    return urllib.parse.urlsplit(text).scheme in _SCHEMES and "://" in text


def is_pattern(text: str) -> bool:
    """Tell a pattern like ``pictures/*.png`` from a path; a file whose name has such characters is one."""
    return any(sign in text for sign in "*?[") and not Path(text).exists()


@contextmanager
def prediction_inputs(texts: Sequence[str], asked: Asked, opened: Opened) -> Iterator[Inputs]:
    """Yield what is to be predicted.

    Args:
        texts: pictures, videos, folders, patterns, addresses; or one data folder or recipe; none: the
            images of ``asked.recipe``.
        asked: the recipe and the split that are meant.
        opened: the model.

    Raises:
        UserError: an input that is not there, before any picture is predicted.
    """
    if "" in texts:
        raise UserError('an input is empty (""); is a variable of the shell not set?')
    if len(texts) > 1 or any(is_address(text) or is_pattern(text) or _has_videos(text) for text in texts):
        with gathered(texts) as found:
            yield found
        return
    data = Path(texts[0]) if texts else None
    with asked_images(replace(asked, data=data), opened) as folder:
        yield Inputs(folder, {})


def _has_videos(text: str) -> bool:
    """Tell a video, or a folder with one."""
    path = Path(text)
    if path.is_dir():
        return any(file.suffix.lower() in VIDEO_SUFFIXES for file in list_files(path))
    return path.suffix.lower() in VIDEO_SUFFIXES


@contextmanager
def gathered(texts: Sequence[str]) -> Iterator[Inputs]:
    """Yield the pictures and videos of several inputs.

    A folder's pictures keep their paths in it; of several inputs each begins with the name of its
    folder where that is needed to tell two of them apart.

    Args:
        texts: paths of files and folders, patterns in quotes, http, https and file addresses.

    Raises:
        UserError: an input that is not there, before any picture is predicted.
    """
    with tempfile.TemporaryDirectory() as temporary:
        found: list[tuple[str, Path]] = []
        for number, text in enumerate(texts):
            if is_address(text):
                found.append(_fetched(text, Path(temporary) / "fetched" / str(number)))
            else:
                found += _local(text)
        pictures = Path(temporary) / "pictures"
        videos: dict[str, Path] = {}
        taken: set[str] = set()
        for name, path in found:
            unique = _free_name(name, path, taken)
            if path.suffix.lower() in VIDEO_SUFFIXES:
                stem = Path(unique).with_suffix("").as_posix()
                videos[unique if stem in videos else stem] = path
                continue
            link = pictures / unique
            link.parent.mkdir(parents=True, exist_ok=True)
            _link(path, link)
        yield Inputs(pictures if pictures.is_dir() else None, videos)


def _local(text: str) -> list[tuple[str, Path]]:
    """List name and path of the pictures and videos of a file, a folder or a pattern."""
    suffixes = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)
    path = Path(text).expanduser()
    if path.is_dir():
        inside = [file for file in list_files(path) if file.suffix.lower() in suffixes]
        if not inside:
            raise UserError(f"{path}: no images ({', '.join(IMAGE_SUFFIXES)}).")
        return [(file.relative_to(path).as_posix(), file) for file in inside]
    if path.exists():
        return [(path.name, path)]
    if not is_pattern(text):
        raise UserError(f"{text}: no such file or folder.")
    # Patterns may be absolute, which paths do not search for.
    matched = [Path(one) for one in sorted(glob(str(path), recursive=True))]  # noqa: PTH207
    files = [one for one in matched if one.is_file() and one.suffix.lower() in suffixes]
    if not files:
        raise UserError(f"{text}: no image has such a name.")
    return [(file.name, file) for file in files]


def _free_name(name: str, path: Path, taken: set[str]) -> str:
    """Return a name that no other picture has: with its folder in front, then with a number behind."""
    candidate = name
    if candidate in taken:
        candidate = f"{path.absolute().parent.name}/{Path(name).name}"
    number = 1
    while candidate in taken:
        number += 1
        candidate = str(Path(name).with_name(f"{Path(name).stem}-{number}{path.suffix}"))
    taken.add(candidate)
    return candidate


def _link(path: Path, link: Path) -> None:
    try:
        link.symlink_to(path.absolute())
    except OSError:
        # Windows allows links to few people.
        shutil.copy(path, link)


def _fetched(address: str, folder: Path) -> tuple[str, Path]:
    """Fetch a file; return its name and where it is.

    Raises:
        UserError: no answer within half a minute, an error, or more than a gigabyte.
    """
    name = Path(urllib.parse.unquote(urllib.parse.urlsplit(address).path)).name or "picture"
    # An address without a suffix is taken for a picture; what it is shows when it is read.
    if Path(name).suffix.lower() not in (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES):
        name += IMAGE_SUFFIXES[0]
    folder.mkdir(parents=True)
    path = folder / name
    try:
        with urllib.request.urlopen(address, timeout=_SECONDS) as answer, path.open("wb") as file:
            while block := answer.read(_BLOCK):
                file.write(block)
                if file.tell() > _MOST_BYTES:
                    raise UserError(f"{address}: is larger than a gigabyte; fetch it yourself and give the file.")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise UserError(f"{address}: cannot be fetched ({reason}). Fetch it yourself and give the file.") from error
    return name, path
