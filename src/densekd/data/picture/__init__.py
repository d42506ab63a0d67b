"""Picture files as a viewer shows them: any depth, mode and EXIF orientation becomes uint8 RGB."""

from densekd.data.picture.bands import (
    LUMA,
    RGB,
    Bands,
    as_bands,
    band_count,
    band_kind,
    decode_bands,
    shown_bands,
)
from densekd.data.picture.decode import bands_beyond_colors, decode_channel, decode_picture, from_pillow, shown_size
from densekd.data.picture.kind import PictureKind, header_kind, picture_kind
from densekd.data.picture.limit import max_megapixels, set_max_megapixels
from densekd.data.picture.opened import UNREADABLE, opened
from densekd.data.picture.remarks import PictureRemark, Seen, remarks
from densekd.data.picture.tiff import WrongBandsError, band_size
from densekd.data.picture.turn import as_shown

__all__ = [
    "LUMA",
    "RGB",
    "UNREADABLE",
    "Bands",
    "PictureKind",
    "PictureRemark",
    "Seen",
    "WrongBandsError",
    "as_bands",
    "as_shown",
    "band_count",
    "band_kind",
    "band_size",
    "bands_beyond_colors",
    "decode_bands",
    "decode_channel",
    "decode_picture",
    "from_pillow",
    "header_kind",
    "max_megapixels",
    "opened",
    "picture_kind",
    "remarks",
    "set_max_megapixels",
    "shown_bands",
    "shown_size",
]
