"""Locate a model: a file, a folder, a URL, a name on the Hugging Face hub, an architecture."""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

import huggingface_hub

from densekd.errors import UserError, suggest
from densekd.models import MODELS
from densekd.models.checkpoints.download import located
from densekd.models.checkpoints.file import split_part
from densekd.models.published_files import find_published, how_to_get
from densekd.models.sources import SOURCES
from densekd.network import BY_HAND, without_waiting

PACKAGE_FILES = ["config.json", "model.safetensors"]

# A name that ends so was meant to be a file.
_FILE_SUFFIXES = (
    ".bin", ".ckpt", ".json", ".pkl", ".pt", ".pth", ".safetensors", ".tar", ".yaml", ".yml",
)  # fmt: skip
# Folders of ours: a name that begins so was meant to be a path.
_OUR_FOLDERS = ("runs", "checkpoints")
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_OWN_NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class Place:
    """What a source turned out to be.

    Args:
        kind: ``file``, ``folder``, or ``name`` of an architecture: of ``MODELS``, ``hf:``,
            ``timm:``, ``smp:``, ``torchvision:`` or ``package.module:Name``.
        path: of a file or folder, with ``#teacher`` where that was asked for.
        name: the source as it was written.
    """

    kind: Literal["file", "folder", "name"]
    path: Path
    name: str


def locate(source: str | Path) -> Place:
    """Find what a source means; what lies at a URL or on the hub is fetched once and kept.

    Args:
        source: a path, a URL with a checksum (see
            :func:`densekd.models.checkpoints.download.located`), ``owner/name`` on the hub, or the
            name of an architecture. What exists on the disk comes first.

    Raises:
        UserError: none of these; the message says what is missing.
    """
    name = str(source)
    path = located(name)
    # What exists on the disk comes before any name.
    file, _ = split_part(path)
    if file.is_dir():
        return Place("folder", path, name)
    if file.is_file():
        return Place("file", path, name)
    if is_architecture(name):
        return Place("name", Path(name), name)
    # A missing file is a missing file: the hub is not asked for it.
    if is_file_name(name, file):
        raise UserError(_missing(file))
    if _HUB_NAME.fullmatch(name):
        return Place("folder", fetch_package(name), name)
    known = [*MODELS, *(f"{source}:NAME" for source in SOURCES)]
    raise UserError(
        f"{name}: no such file or folder, and no model of this name. {suggest(name, known)} "
        "A model on the hub is owner/name, your own is package.module:Name."
    )


def is_architecture(name: str) -> bool:
    """Return True for a name of ``MODELS``, ``source:name`` and ``package.module:Name``."""
    source, colon, rest = name.partition(":")
    if colon and source in SOURCES:
        return bool(rest)
    return name in MODELS or _OWN_NAME.fullmatch(name) is not None


def fetch_package(name: str) -> Path:
    """Fetch a student package ``owner/name`` from the Hugging Face hub, or find it in the cache.

    Raises:
        UserError: unknown, or out of reach.
    """
    try:
        with without_waiting(name):
            return Path(huggingface_hub.snapshot_download(name, allow_patterns=PACKAGE_FILES))
    except Exception as error:  # the hub's client has many ways to fail
        reason = str(error).strip().splitlines()
        first = reason[0] if reason else type(error).__name__
        raise UserError(f"{name}: no such folder, and it could not be had from the hub ({first}). {BY_HAND}") from error


def is_file_name(name: str, path: Path) -> bool:
    """Tell a path that does not exist from a name on a hub: one slash, no place on this disk."""
    if find_published(path) is not None:
        return True
    if path.is_absolute() or path.suffix in _FILE_SUFFIXES:
        return True
    if name.startswith((".", "~")) or len(path.parts) > 2:
        return True
    if len(path.parts) != 2:
        return False
    # students/mine, where there is a folder students.
    return path.parts[0] in _OUR_FOLDERS or path.parent.is_dir()


def _missing(path: Path) -> str:
    """Say that a file is not there, and which one near it is."""
    siblings = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    near = get_close_matches(path.name, siblings, n=1)
    hint = f" Did you mean {path.with_name(near[0])}?" if near else ""
    return f"{path}: no such file or folder.{hint}{how_to_get(path)}"
