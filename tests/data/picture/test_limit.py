"""Pictures beyond the limit are refused with the line that raises it, and read with it."""

from collections.abc import Iterator

import numpy as np
import pytest
from picture_files import png
from PIL import Image

from densekd.data.picture import decode_picture, max_megapixels, opened, set_max_megapixels
from densekd.data.picture.limit import DEFAULT_MEGAPIXELS, set_in_worker

CONTENT = png(np.zeros((1000, 1500), np.uint8), 8, 0)


@pytest.fixture(autouse=True)
def limits() -> Iterator[None]:
    yield
    set_max_megapixels(DEFAULT_MEGAPIXELS)
    set_max_megapixels(None, "command")


def test_the_message_has_the_line_that_raises_the_limit() -> None:
    set_max_megapixels(1.0)
    message = (
        r"1500 x 1000 pixels, 1\.5 megapixels, and at most 1 are .*'data: \{max_megapixels: 2\}'.*--max-megapixels 2"
    )
    with pytest.raises(ValueError, match=message):
        decode_picture(CONTENT)
    set_max_megapixels(2.0)
    assert decode_picture(CONTENT).shape == (1000, 1500, 3)


def test_a_command_counts_more_than_the_recipe() -> None:
    set_max_megapixels(2.0, "command")
    set_max_megapixels(1.0)
    assert max_megapixels() == 2.0
    set_max_megapixels(None, "command")
    assert max_megapixels() == 1.0
    set_in_worker(3.0, 0)
    assert max_megapixels() == 3.0


def test_the_limit_of_pillow_neither_counts_nor_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    # Twice Pillow's limit is its error, once its warning, which is an error in tests.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert decode_picture(CONTENT).shape == (1000, 1500, 3)
    with opened(CONTENT):
        assert Image.MAX_IMAGE_PIXELS == 1000
