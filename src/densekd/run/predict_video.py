"""Prediction of a video, frame by frame, into a video with the predictions drawn over it."""

from collections.abc import Callable
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from densekd.atomic import atomic
from densekd.errors import UserError
from densekd.ops.finite import output_of

# What a file begins with, from which byte on, and FFmpeg's name of such files. Of the others some are lists of
# other files and addresses.
_QUICKTIME = "mov"
_FORMATS = {
    (4, b"ftyp"): _QUICKTIME,
    (4, b"moov"): _QUICKTIME,
    (4, b"mdat"): _QUICKTIME,
    (4, b"wide"): _QUICKTIME,
    (4, b"free"): _QUICKTIME,
    (4, b"skip"): _QUICKTIME,
    (0, b"\x1aE\xdf\xa3"): "matroska",
    (0, b"RIFF"): "avi",
}
# Frames a second where a video does not say.
_RATE = Fraction(25)


def require_video() -> None:
    """Check that videos can be read.

    Raises:
        UserError: PyAV is not installed.
    """
    if find_spec("av") is None:
        raise UserError("videos need PyAV: pip install 'densekd[video]'.")


def predict_video(source: Path, out: Path, drawn: Callable[[np.ndarray], Image.Image]) -> int:
    """Predict every frame of a video; return how many.

    Args:
        source: MP4, QuickTime, Matroska, WebM or AVI, whatever its suffix; nothing but this file is opened.
        out: the MP4 (H.264) to write, at the same size but for an odd row or column, and speed; without sound.
        drawn: predicts a frame, uint8 RGB ``[H, W, 3]``, and draws over it what was found.

    Raises:
        UserError: no video, or a damaged one; nothing is written.
    """
    import av

    kind = _kind(source)
    try:
        options = {"protocol_whitelist": "file"}
        with output_of(str(source)), av.open(str(source), format=kind, options=options) as video:
            if not video.streams.video:
                raise UserError(f"{source}: holds no moving pictures.")
            with atomic(out) as temporary, av.open(str(temporary), "w") as written:
                count = _copy(video, written, drawn)
                if count == 0:
                    raise UserError(f"{source}: holds no frame that can be read.")
    except av.error.FFmpegError as error:
        raise UserError(f"{source}: the video cannot be read ({error}).") from error
    return count


def _kind(source: Path) -> str:
    """Return FFmpeg's name of a file's kind, from its first bytes.

    Raises:
        UserError: it is of no kind that is opened, or cannot be read.
    """
    try:
        with source.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise UserError(f"{source}: cannot be read ({error.strerror}).") from error
    for (offset, mark), kind in _FORMATS.items():
        if start[offset:].startswith(mark):
            return kind
    raise UserError(f"{source}: the video cannot be read (it is no MP4, QuickTime, Matroska, WebM or AVI file).")


def _copy(video: Any, written: Any, drawn: Callable[[np.ndarray], Image.Image]) -> int:
    """Predict the frames of one container into the other; return how many."""
    import av

    rate = video.streams.video[0].average_rate or _RATE
    stream = None
    count = 0
    for frame in video.decode(video=0):
        picture = np.asarray(drawn(frame.to_ndarray(format="rgb24")).convert("RGB"))
        # Chroma is stored for two rows and columns at a time.
        picture = np.ascontiguousarray(picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2])
        if stream is None:
            stream = written.add_stream("libx264", rate=rate)
            stream.height, stream.width = picture.shape[:2]
            stream.pix_fmt = "yuv420p"
        written.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        count += 1
    if stream is not None:
        written.mux(stream.encode())
    return count
