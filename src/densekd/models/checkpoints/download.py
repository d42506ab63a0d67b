"""Download checkpoints: a URL is fetched once, checked against its SHA-256, and kept."""

import hashlib
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import URLError
from urllib.parse import urlparse

import torch

from densekd.atomic import atomic
from densekd.errors import UserError, see
from densekd.network import is_reachable
from densekd.terminal import logger

_LOG = logger()
_URL = re.compile(r"(https?|file)://")
# mmsegmentation, mmdetection, torchvision and timm end a file's name with the beginning of its
# SHA-256.
_NAMED = re.compile(r"[-_]([0-9a-f]{8,64})\.\w+$")
_GIVEN = "sha256="


def located(name: str) -> Path:
    """Return the path of a file or folder, or of what lies at a URL, which is fetched once.

    A URL ``https://host/name-e1e1100f.pth`` is checked against the checksum in its name, any other
    against ``URL#sha256=...``. What was fetched lies in ``torch.hub``'s folder under its checksum.
    ``#teacher`` may follow.

    Args:
        name: path or URL.

    Raises:
        UserError: out of reach, another file than its checksum says, or a URL without one; the
            message has the file's.
    """
    if not _URL.match(name):
        return Path(name).expanduser()
    # What follows a URL: a checksum, a part, or both.
    url, *marks = name.split("#")
    given = [mark.removeprefix(_GIVEN).lower() for mark in marks if mark.startswith(_GIVEN)]
    part = "".join(f"#{mark}" for mark in marks if not mark.startswith(_GIVEN))
    file = Path(urlparse(url).path).name
    in_name = _NAMED.search(file)
    # What the user writes comes before what the name says.
    checksum = None
    if given:
        checksum = given[0]
    elif in_name is not None:
        checksum = in_name[1]
    folder = Path(torch.hub.get_dir()) / "checkpoints" / "densekd"
    if checksum is None:
        # Fetched all the same, so that the message can say what to write.
        checksum = _keep(url, folder, file, "")
        raise UserError(
            f"{url}: nothing says which file this should be. What lies there now was fetched; "
            f"if you trust it, write {url}#{_GIVEN}{checksum}{part}."
        )
    if not re.fullmatch("[0-9a-f]{8,64}", checksum):
        raise UserError(f"{name}: '{checksum}' is no checksum; write at least the first 8 hexadecimal digits.")
    path = _kept(folder, checksum, file)
    if path is None:
        found = _keep(url, folder, file, checksum)
        if not found.startswith(checksum):
            raise UserError(f"{url}: is another file than expected: its SHA-256 is {found}, not {checksum}...")
        path = folder / found / file
    return path.with_name(file + part)


def fetch_to(path: Path, url: str, sha256: str) -> str:
    """Fetch a file to a path, atomically and with a progress bar.

    Args:
        path: its folder is made when missing; nothing is left there where something fails.
        url: direct address.
        sha256: what the file's SHA-256 begins with; empty where nobody says.

    Returns:
        the file's SHA-256.

    Raises:
        UserError: out of reach, or another file than its checksum says.
    """
    with atomic(path) as temporary:
        checksum = _fetch(url, temporary, f"put it at {path}", sha256)
        if not checksum.startswith(sha256):
            raise UserError(f"{url}: is another file than expected: its SHA-256 is {checksum}, not {sha256}...")
    return checksum


def digest_of_file(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fetch(url: str, path: Path, place: str, sha256: str) -> str:
    """Download a file and return its SHA-256.

    Args:
        url: direct address.
        path: of the new file.
        place: what a person does with the file who brings it, for the message.
        sha256: what its SHA-256 begins with, for the message; empty where nobody says.

    Raises:
        UserError: out of reach, found out within seconds.
    """
    try:
        if url.startswith("http") and not is_reachable(url):
            raise URLError("nobody answers")
        torch.hub.download_url_to_file(url, str(path))
    except (URLError, OSError, ValueError) as error:
        checked = f", whose SHA-256 begins with {sha256}," if sha256 else ""
        by_hand = f"Bring {Path(urlparse(url).path).name}{checked} from a machine with a network and {place}."
        raise UserError(f"{url}: could not be fetched ({error}). {by_hand} {see('offline')}") from error
    return digest_of_file(path)


def _kept(folder: Path, checksum: str, file: str) -> Path | None:
    """Find a file that was fetched before, and is what it was then."""
    for place in folder.glob(f"{checksum}*"):
        if not (place / file).is_file():
            continue
        # The folder is named by the checksum of what was fetched.
        if digest_of_file(place / file) == place.name:
            return place / file
        _LOG.warning("%s: damaged since it was fetched; it is fetched anew.", place / file)
        (place / file).unlink()
    return None


def _keep(url: str, folder: Path, file: str, sha256: str) -> str:
    """Fetch a file into the folder of its checksum and return that."""
    folder.mkdir(parents=True, exist_ok=True)
    # Moved only when it is whole.
    with TemporaryDirectory(dir=folder) as temporary:
        path = Path(temporary) / file
        checksum = _fetch(url, path, "name it by its path", sha256)
        (folder / checksum).mkdir(exist_ok=True)
        path.replace(folder / checksum / file)
    return checksum
