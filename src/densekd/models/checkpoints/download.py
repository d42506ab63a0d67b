"""Checkpoints by URL: fetched once, checked, kept."""

import hashlib
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import URLError
from urllib.parse import urlparse

import torch

from densekd.errors import UserError

_URL = re.compile(r"(https?|file)://")
# mmsegmentation, mmdetection, torchvision and timm end their files' names with the beginning of their SHA-256.
_NAMED = re.compile(r"[-_]([0-9a-f]{8,64})\.\w+$")
_GIVEN = "sha256="


def located(name: str) -> Path:
    """Return the path that a user means: of a file or folder, or of what lies behind a URL, which is fetched once.

    A URL ``https://host/name-e1e1100f.pth`` is checked against the checksum in its name, any other against
    ``URL#sha256=...``. What was fetched lies in ``torch.hub``'s folder under its checksum. ``#teacher`` may follow.

    Args:
        name: path or URL.

    Raises:
        UserError: out of reach, another file than its checksum says, or a URL without one; the message has the file's.
    """
    if not _URL.match(name):
        return Path(name).expanduser()
    url, *marks = name.split("#")
    part = "".join(f"#{mark}" for mark in marks if not mark.startswith(_GIVEN))
    file = Path(urlparse(url).path).name
    in_name = _NAMED.search(file)
    checksum = next((m.removeprefix(_GIVEN).lower() for m in marks if m.startswith(_GIVEN)), in_name and in_name[1])
    if checksum is not None and not re.fullmatch("[0-9a-f]{8,64}", checksum):
        raise UserError(f"{name}: '{checksum}' is no checksum; write at least the first 8 hexadecimal digits.")
    folder = Path(torch.hub.get_dir()) / "checkpoints" / "densekd"
    if checksum is None:
        checksum = _keep(url, folder, file)
        raise UserError(
            f"{url}: nothing says which file this should be. What lies there now was fetched; "
            f"if you trust it, write {url}#{_GIVEN}{checksum}{part}."
        )
    kept = (place / file for place in folder.glob(f"{checksum}*"))
    known = next((path for path in kept if path.is_file()), None)
    if known is None:
        found = _keep(url, folder, file)
        if not found.startswith(checksum):
            raise UserError(f"{url}: is another file than expected: its SHA-256 is {found}, not {checksum}...")
        known = folder / found / file
    return known.with_name(file + part)


def _keep(url: str, folder: Path, file: str) -> str:
    """Fetch a file into the folder of its checksum and return that."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as temporary:
        path = Path(temporary) / file
        try:
            torch.hub.download_url_to_file(url, str(path))
        except (URLError, OSError, ValueError) as error:
            raise UserError(f"{url}: could not be fetched ({error}).") from error
        with path.open("rb") as stream:
            checksum = hashlib.file_digest(stream, "sha256").hexdigest()
        (folder / checksum).mkdir(exist_ok=True)
        path.replace(folder / checksum / file)
    return checksum
