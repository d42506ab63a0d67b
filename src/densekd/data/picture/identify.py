"""What a file is that no reader of pictures opens: empty, a web page, a pointer of Git LFS, a TIFF of bands, ..."""

import io
import struct

from PIL import TiffImagePlugin

# First bytes -> what a file with them is.
_BEGINNINGS = (
    (b"version https://git-lfs", "it is a pointer of Git LFS; fetch the pictures with 'git lfs pull'"),
    (b"%PDF", "it is a PDF document"),
    (b"PK\x03\x04", "it is a ZIP archive"),
    (b"\x1f\x8b", "it is compressed by gzip; unpack it"),
    (b"\x93NUMPY", "it is an array of NumPy; save it as PNG"),
    (b"\x89HDF\r\n\x1a\n", "it is an HDF5 file; save its pictures as PNG"),
    (b"\x80\x04", "it is a pickle of Python, which is not read; save it as PNG"),
    (b"\x00\x00\x00\x0cJXL ", "it is a JPEG XL picture; convert it to PNG"),
    (b"\xff\x0a", "it is a JPEG XL picture; convert it to PNG"),
    (b"\x00\x00\x00\x0cjP  ", "it is a JPEG 2000 picture; convert it to PNG or TIFF"),
    (b"\xff\x4f\xff\x51", "it is a JPEG 2000 picture; convert it to PNG or TIFF"),
    (b"%!PS", "it is a PostScript drawing (EPS), which is a program and is not run; convert it to PNG"),
    (b"\xc5\xd0\xd3\xc6", "it is a PostScript drawing (EPS), which is a program and is not run; convert it to PNG"),
    (b"8BPS", "it is a Photoshop document; save it as PNG"),
    (b"v/1\x01", "it is an OpenEXR picture; save it as PNG of 8 or 16 bits"),
    (b"#?RADIANCE", "it is a Radiance picture; save it as PNG of 8 or 16 bits"),
    (b"SIMPLE  =", "it is a FITS file; save its pictures as PNG"),
    (b"\x00\x00\x01\x00", "it is an icon; save it as PNG"),
    (b"GIF8", "it is a damaged GIF picture"),
    (b"\x1aE\xdf\xa3", "it is a Matroska or WebM video; save its frames as pictures"),
    (b"\x89PNG", "it is a PNG whose beginning is damaged"),
    (b"RIFF", "it is a damaged WebP picture, or sound or video"),
    (b"BM", "it is a damaged BMP picture"),
)
# Brands of files in boxes, as of phones and cameras.
_BRANDS = {
    b"heic": "it is a HEIC photograph, as iPhones take them; convert it to JPEG or PNG",
    b"heix": "it is a HEIC photograph, as iPhones take them; convert it to JPEG or PNG",
    b"mif1": "it is a HEIF photograph; convert it to JPEG or PNG",
    b"avif": "it is an AVIF picture; convert it to JPEG or PNG",
}
_SAMPLE_FORMATS = {1: "whole numbers", 2: "signed whole numbers", 3: "floats"}
_MANY = 1024


def what_it_is(content: bytes) -> str:
    """Say what a file is that cannot be opened as a picture.

    Args:
        content: of the whole file.
    """
    if not content:
        return "the file is empty"
    if not content.strip(b"\0"):
        return "the file holds nothing but zeros, as an interrupted copy leaves behind"
    for beginning, what in _BEGINNINGS:
        if content.startswith(beginning):
            return what
    if content[4:8] == b"ftyp":
        return _BRANDS.get(content[8:12], "it is a video or a photograph in an MP4 container; save it as pictures")
    if content[128:132] == b"DICM":
        return "it is a DICOM file; save its pictures as PNG of 8 or 16 bits"
    if content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _tiff(content)
    if content.startswith(b"\xff\xd8"):
        return _jpeg(content)
    return _text(content)


def _text(content: bytes) -> str:
    """Describe text, or say that nothing is known."""
    beginning = content[:_MANY].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if beginning.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "it is an HTML page, as a download that failed leaves behind"
    if b"<svg" in beginning:
        return "it is an SVG drawing; convert it to PNG"
    if beginning.startswith(b"<"):
        return "it is XML"
    if beginning.startswith((b"{", b"[")):
        return "it is JSON"
    try:
        shown = content[:_MANY].decode("utf-8")
    except UnicodeDecodeError:
        return f"it is no picture that is known here; it begins with the bytes {content[:8].hex(' ')}"
    if shown.isprintable() or not any(ord(one) < 9 for one in shown):
        return f"it is text: {shown[:40].strip()!r}"
    return f"it is no picture that is known here; it begins with the bytes {content[:8].hex(' ')}"


def _jpeg(content: bytes) -> str:
    """Describe a JPEG by its frame header."""
    place = 2
    while place + 5 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        # Frame headers; C4, C8 and CC are other segments.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            bits = content[place + 4]
            if bits != 8:
                return f"it is a JPEG of {bits} bits a channel, and 8 are read; convert it to a PNG of 16 bits"
            return "it is a JPEG of a kind that is not read (lossless or arithmetic), or a damaged one"
        place += 2 + struct.unpack(">H", content[place + 2 : place + 4])[0]
    return "it is a JPEG that breaks off before its pixels, or a damaged one"


def _tiff(content: bytes) -> str:
    """Describe a TIFF by its tags: bands, depth and kind of numbers."""
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(content[:8])
        stream = io.BytesIO(content)
        stream.seek(tags.next)
        tags.load(stream)
        width, height = int(tags[256]), int(tags[257])
        bands = int(tags.get(277, 1))
        bits = tags.get(258, (1,))
        numbers = _SAMPLE_FORMATS.get(tags.get(339, (1,))[0], "complex or unknown numbers")
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, struct.error):
        return "it is a TIFF that breaks off or is damaged"
    depth = max(bits) if isinstance(bits, tuple) else bits
    order = "little" if content.startswith(b"II") else "big"
    kind = f"it is a TIFF of {width} x {height} pixels with {bands} band{'s' * (bands > 1)} of {depth}-bit {numbers}"
    return (
        f"{kind}, {order}-endian; TIFFs that are read have one band or RGB of 8 or 16 bits, or one band of floats from "
        "0 to 1: save it as PNG, or read it by data.bands in the recipe"
    )
