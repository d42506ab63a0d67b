"""What is no picture is named by what it is, whatever it is called."""

import io
from pathlib import Path

import numpy as np
import pytest
from picture_files import encoded
from PIL import Image

from densekd.data.files import image_size, read_image
from densekd.data.picture import opened
from densekd.errors import UserError

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8))
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "the file is empty"),
        (bytes(2000), "nothing but zeros"),
        (b"\n<!DOCTYPE html><html><body>404</body></html>", "it is an HTML page, as a download that failed"),
        (b'<?xml version="1.0"?><svg xmlns="x"/>', "it is an SVG drawing"),
        (b'{"message": "not found"}', "it is JSON"),
        (b"AccessDenied\n", "it is text: 'AccessDenied'"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS; .* 'git lfs pull'"),
        (EPS, r"a PostScript drawing \(EPS\), which is a program and is not run"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"PK\x03\x04abcd", "a ZIP archive"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC photograph, .* convert it to JPEG or PNG"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "a video"),
        (bytes(128) + b"DICM", "a DICOM file"),
        (b"\xff\x4f\xff\x51\0\0", "a JPEG 2000 picture; convert it"),
        (b"\xff\xd8\xff\xc1\0\x0b\x0c\0\x08\0\x08\x01\x01\x11\0", "a JPEG of 12 bits a channel"),
        (b"\x01\x9e\x00\xf1", "it begins with the bytes 01 9e 00 f1"),
    ],
)
@pytest.mark.parametrize("read", [read_image, image_size])
def test_a_file_called_png_is_named_by_what_it_is(tmp_path: Path, content: bytes, what: str, read: object) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"a\.png: the image cannot be read \(.*{what}.*\)\. Replace or remove it"):
        read(path)  # type: ignore[operator]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "GIF", "PPM"])
def test_a_picture_that_breaks_off_is_refused(tmp_path: Path, kind: str) -> None:
    content = encoded(PICTURE.quantize() if kind == "GIF" else PICTURE, kind)
    (tmp_path / "a.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"a\.png: the image cannot be read \(.+\)"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "WEBP", "PPM", "GIF"])
def test_the_decoders_are_a_closed_list(kind: str) -> None:
    with opened(encoded(PICTURE, kind)) as picture:
        assert picture.format == kind


@pytest.mark.parametrize("kind", ["ICO", "TGA", "PCX", "SGI", "EPS", "JPEG2000"])
def test_other_formats_of_pillow_are_not_opened(kind: str) -> None:
    with pytest.raises(ValueError, match=r"it |the "), opened(encoded(PICTURE, kind)):
        pass


def test_postscript_never_starts_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import EpsImagePlugin

    def started(*arguments: object) -> None:
        raise AssertionError("Ghostscript was started")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", started)
    Image.init()
    with pytest.raises(ValueError, match="PostScript"), opened(io.BytesIO(EPS)) as picture:
        picture.load()
