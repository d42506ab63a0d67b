"""Read ``predictions/``: sample pictures, re-encoded compactly and embedded as data addresses."""

import base64
import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from densekd.parsers.files import is_file

KINDS = ("image", "truth", "teacher", "baseline", "student", "student-errors")
LONGEST_SIDE = 1024  # pixels: more than a page shows of one picture among six
MOST_SAMPLES = 12


@dataclass(frozen=True)
class Picture:
    """One picture: ``source`` is a data address, or None where ``missing`` says what is wrong. Size in pixels."""

    kind: str
    source: str | None
    size: tuple[int, int]
    missing: str


@dataclass(frozen=True)
class Sample:
    """The pictures of one image, one for each kind that any sample of the run has."""

    stem: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Samples:
    """The samples shown, by name, and how many the folder holds."""

    shown: tuple[Sample, ...]
    found: int


def read_samples(folder: Path, photographs: Collection[str]) -> Samples:
    """Read the first pictures of a folder of ``<stem>.<kind>.png`` files, kind being one of ``KINDS``.

    Args:
        folder: the folder; it need not exist.
        photographs: kinds that may be interpolated and compressed with losses; of the others every
            pixel is kept.

    Returns:
        At most ``MOST_SAMPLES`` samples. A picture that is absent or damaged keeps its place,
        without a source.
    """
    found: dict[str, set[str]] = {}
    for path in sorted(folder.glob("*.png")):
        stem, _, kind = path.stem.rpartition(".")
        if stem and kind in KINDS:
            found.setdefault(stem, set()).add(kind)
    stems = sorted(found)[:MOST_SAMPLES]
    # Every sample has the same columns: the kinds that any of those shown has.
    present: set[str] = set()
    for stem in stems:
        present |= found[stem]
    kinds = [kind for kind in KINDS if kind in present]
    samples = [_sample(folder, stem, kinds, photographs) for stem in stems]
    return Samples(tuple(samples), len(found))


def read_drawing(path: Path) -> str:
    """Return an SVG file as a data address, which a browser shows but does not run.

    Without the file it is empty.
    """
    if not is_file(path):
        return ""
    return _address("image/svg+xml", io.BytesIO(path.read_bytes()))


def _sample(folder: Path, stem: str, kinds: Sequence[str], photographs: Collection[str]) -> Sample:
    pictures: list[Picture] = []
    for kind in kinds:
        pictures.append(_picture(folder / f"{stem}.{kind}.png", kind, photographs))
    return Sample(stem, tuple(pictures))


def _picture(path: Path, kind: str, photographs: Collection[str]) -> Picture:
    if not is_file(path):
        return Picture(kind, None, (0, 0), "no picture")
    try:
        with Image.open(path, formats=("PNG",)) as opened:
            image = opened.convert("RGB")
    except (
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
    ):
        return Picture(kind, None, (0, 0), "unreadable file")
    if kind in photographs:
        image = _shrink(image, Image.Resampling.LANCZOS)
        return Picture(kind, jpeg_address(image), image.size, "")
    # Between two labels there is no third, so their pictures are neither interpolated nor blurred.
    image = _shrink(image, Image.Resampling.NEAREST)
    return Picture(kind, png_address(image), image.size, "")


def _shrink(image: Image.Image, resampling: Image.Resampling) -> Image.Image:
    # Never enlarged: a small picture is shown as it is.
    factor = LONGEST_SIDE / max(image.size)
    if factor >= 1:
        return image
    width, height = image.size
    return image.resize((max(1, round(width * factor)), max(1, round(height * factor))), resampling)


def jpeg_address(image: Image.Image) -> str:
    """Return a photograph as a data address, compressed with losses."""
    # Progressive: a page with many pictures shows all of them early.
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85, optimize=True, progressive=True)
    return _address("image/jpeg", buffer)


def png_address(image: Image.Image) -> str:
    """Return a picture as a data address that keeps every pixel."""
    buffer = io.BytesIO()
    indexed = image.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    # An index per pixel is a third of the size, but only right if no color was merged with another.
    exact = indexed.convert("RGB").tobytes() == image.tobytes()
    chosen = indexed if exact else image
    chosen.save(buffer, "PNG", optimize=True)
    return _address("image/png", buffer)


def _address(kind: str, buffer: io.BytesIO) -> str:
    return f"data:{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
