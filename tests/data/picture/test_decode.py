"""Pictures of every depth and mode are read as a viewer shows them, or refused by what they are."""

import io
import struct

import numpy as np
import pytest
from picture_files import encoded, png, tiff
from PIL import Image

from densekd.data.picture import decode_channel, decode_picture, opened, shown_size

RNG = np.random.default_rng(0)
COLOR = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
GRAY = COLOR[..., 0]
DEEP = RNG.integers(0, 65536, (5, 7, 3), dtype=np.uint16)


def gray(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, 2)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_gray_of_few_bits_reaches_from_black_to_white(bits: int, kind: str) -> None:
    values = GRAY.astype(np.int64) % (1 << bits)
    content = png(values, bits, 0) if kind == "png" else tiff(values, bits)
    shown = (values * 255 // ((1 << bits) - 1)).astype(np.uint8)
    assert np.array_equal(decode_picture(content), gray(shown))


@pytest.mark.parametrize(
    "content", [png(DEEP[..., 0], 16, 0), tiff(DEEP[..., 0], 16), tiff(DEEP[..., 0], 16, order=">")]
)
def test_sixteen_bits_of_gray_become_their_high_byte(content: bytes) -> None:
    assert np.array_equal(decode_picture(content), gray((DEEP[..., 0] >> 8).astype(np.uint8)))


@pytest.mark.parametrize("content", [png(DEEP, 16, 2), tiff(DEEP, 16, 2), tiff(DEEP, 16, 2, order=">")])
def test_sixteen_bits_of_color_become_their_high_byte(content: bytes) -> None:
    assert np.array_equal(decode_picture(content), (DEEP >> 8).astype(np.uint8))


def test_a_picture_of_sixteen_bits_is_that_of_eight() -> None:
    assert np.array_equal(decode_picture(png(COLOR.astype(np.uint16) * 257, 16, 2)), COLOR)


def test_of_twelve_bits_4095_is_white() -> None:
    values = DEEP[..., 0] % 4096
    values[0, :2] = 0, 4095
    shown = decode_picture(tiff(values, 12))
    assert np.array_equal(shown, gray((values >> 4).astype(np.uint8)))
    assert shown[0, 1].tolist() == [255, 255, 255]


@pytest.mark.parametrize("bits", [1, 8, 16])
def test_a_tiff_whose_white_is_zero_is_not_a_negative(bits: int) -> None:
    values = DEEP[..., 0].astype(np.int64) % (1 << bits)
    black_is_zero = decode_picture(tiff(values, bits, 1))
    assert np.array_equal(decode_picture(tiff(values, bits, 0)), 255 - black_is_zero)


def test_floats_are_black_at_zero_and_white_at_one() -> None:
    values = np.array([[0.0, 0.25, 0.5, 1.0]], np.float32)
    assert decode_picture(tiff(values, 32, numbers=3))[0, :, 1].tolist() == [0, 64, 128, 255]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[0.0, 254.0]], r"floats from 0 to 254, and as a picture floats are 0, black, to 1, white; scale them"),
        ([[-0.5, 0.5]], r"floats from -0\.5 to 0\.5"),
        ([[np.nan, 0.5]], r"1 of its 2 pixels are no numbers"),
    ],
)
def test_floats_without_a_white_are_refused(values: list[list[float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode_picture(tiff(np.array(values, np.float32), 32, numbers=3))


def test_whole_numbers_of_32_bits_are_refused_with_their_range() -> None:
    with pytest.raises(ValueError, match=r"32-bit or signed whole numbers, here from 3 to 70000, .* save it with 8"):
        decode_picture(encoded(Image.fromarray(np.array([[3, 70000]], np.int32)), "TIFF"))


@pytest.mark.parametrize("maximum", [255, 65535])
def test_netpbm_of_both_depths(maximum: int) -> None:
    values = DEEP[..., 0] if maximum > 255 else GRAY
    content = f"P5 7 5 {maximum}\n".encode() + values.astype(">u2" if maximum > 255 else np.uint8).tobytes()
    shown = GRAY if maximum == 255 else (values >> 8).astype(np.uint8)
    assert np.array_equal(decode_picture(content), gray(shown))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_of_transparent_pixels_the_stored_color_counts(bits: int, kind: str) -> None:
    factor = 257 if bits == 16 else 1
    alpha = np.where(GRAY > 128, 255, 0)
    values = np.dstack([COLOR, alpha]).astype(np.uint16) * factor
    content = png(values, bits, 6) if kind == "png" else tiff(values, bits, 2, (2,))
    assert np.array_equal(decode_picture(content), COLOR)


@pytest.mark.parametrize("bits", [8, 16])
def test_gray_with_alpha(bits: int) -> None:
    values = np.dstack([GRAY, np.zeros_like(GRAY)]).astype(np.uint16) * (257 if bits == 16 else 1)
    assert np.array_equal(decode_picture(png(values, bits, 4)), gray(GRAY))


def test_one_transparent_color_of_a_png_stays_as_it_is() -> None:
    r, g, b = COLOR[2, 3].tolist()
    assert np.array_equal(decode_picture(png(COLOR, 8, 2, (b"tRNS", struct.pack(">HHH", r, g, b)))), COLOR)
    assert np.array_equal(decode_picture(png(GRAY, 8, 0, (b"tRNS", struct.pack(">H", GRAY[0, 0])))), gray(GRAY))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("transparency", [False, True])
def test_a_palette_is_read_by_its_colors(bits: int, transparency: bool) -> None:
    colors = RNG.integers(0, 256, (1 << bits, 3), dtype=np.uint8)
    numbers = GRAY.astype(np.int64) % (1 << bits)
    more = [(b"PLTE", colors.tobytes())]
    if transparency:
        more.append((b"tRNS", b"\0"))
    assert np.array_equal(decode_picture(png(numbers, bits, 3, *more)), colors[numbers])


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
def test_cmyk_is_read_as_color(kind: str) -> None:
    # Red, green, blue and black in flat areas, which JPEG keeps.
    ink = np.zeros((16, 64, 4), np.uint8)
    ink[:, :16, 1:3] = 255
    ink[:, 16:32, 0], ink[:, 16:32, 2] = 255, 255
    ink[:, 32:48, :2] = 255
    ink[:, 48:, 3] = 255
    shown = decode_picture(encoded(Image.fromarray(ink, "CMYK"), kind))
    found = shown[8, 8::16].astype(int)
    expected = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [0, 0, 0]])
    assert abs(found - expected).max() <= 3


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_read(kind: str) -> None:
    first, second = (Image.new("RGB", (8, 8), color) for color in ((200, 0, 0), (0, 200, 0)))
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(first, kind, save_all=True, append_images=[second], **options)
    assert np.array_equal(decode_picture(content), np.array(first))


def test_bands_that_are_no_colors_are_refused() -> None:
    four = np.dstack([COLOR, GRAY])
    with pytest.raises(ValueError, match=r"a TIFF of 4 bands, 1 of them neither color nor transparency"):
        decode_picture(tiff(four, 8, 2, (0,)))
    # As raster libraries write them, without any color.
    with pytest.raises(ValueError, match=r"a TIFF of 7 x 5 pixels with 6 bands of 16-bit whole numbers"):
        decode_picture(tiff(np.dstack([DEEP, DEEP]), 16, 1, (0,) * 5))
    with pytest.raises(ValueError, match="with 3 bands of 32-bit floats"):
        decode_picture(tiff(COLOR / 255, 32, 2, numbers=3))


@pytest.mark.parametrize(("photometric", "order"), [(1, ">"), (0, "<")])
def test_twelve_bits_of_a_kind_that_pillow_does_not_read_are_named(photometric: int, order: str) -> None:
    with pytest.raises(ValueError, match=r"1 band of 12-bit whole numbers, .*-endian; .* save it as PNG"):
        decode_picture(tiff(DEEP[..., 0] % 4096, 12, photometric, order=order))


def test_cielab_is_refused() -> None:
    with pytest.raises(ValueError, match="CIELAB"):
        decode_picture(encoded(Image.new("LAB", (4, 4)), "TIFF"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_usual_pictures_are_read_as_pillow_reads_them(kind: str, mode: str) -> None:
    image = Image.fromarray(RNG.integers(0, 256, (37, 53, 3), dtype=np.uint8)).convert(mode)
    content = encoded(image, kind)
    expected = np.array(Image.open(io.BytesIO(content)).convert("RGB"))
    assert np.array_equal(decode_picture(content), expected)


def test_the_size_comes_from_the_header_alone() -> None:
    content = encoded(Image.fromarray(RNG.integers(0, 256, (300, 200, 3), dtype=np.uint8)), "PNG")
    with opened(content[:100]) as picture:
        assert shown_size(picture) == (300, 200)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_values_of_one_channel_are_those_of_pillow(bits: int) -> None:
    content = png(GRAY.astype(np.int64) % (1 << bits), bits, 0)
    with opened(content) as picture:
        assert np.array_equal(decode_channel(picture, content), np.asarray(Image.open(io.BytesIO(content))))


def test_values_with_a_transparent_one_stay_one_channel() -> None:
    buffer = io.BytesIO()
    Image.fromarray(GRAY).save(buffer, "PNG", transparency=int(GRAY[0, 0]))
    content = buffer.getvalue()
    with opened(content) as picture:
        assert np.array_equal(decode_channel(picture, content), GRAY)


def test_uncompressed_pixels_are_read_as_they_lie_and_must_all_be_there() -> None:
    header = b"P6\n# a comment\n7 5\n255\n"
    read = decode_picture(header + COLOR.tobytes() + b"more")
    assert np.array_equal(read, COLOR)
    assert read.flags.writeable
    with pytest.raises(OSError, match="truncated"):
        decode_picture(header + COLOR.tobytes()[:-1])
