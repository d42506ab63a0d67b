"""Input normalization and configs of the transformers library, read without the library."""

import json
from typing import Any

import pytest

from densekd.models.families import IMAGENET
from densekd.models.sources.transformer import convention_of, entries


def test_no_word_on_preprocessing_is_imagenets() -> None:
    assert convention_of({}) == IMAGENET


@pytest.mark.parametrize(
    ("processor", "mean", "std"),
    [
        # The library divides by 255 first, so mean and deviation are in units of [0, 1].
        ({"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)),
        # Without that they are in units of [0, 255].
        (
            {"do_rescale": False, "image_mean": [51, 102, 153], "image_std": [255, 51, 102]},
            (0.2, 0.4, 0.6),
            (1, 0.2, 0.4),
        ),
        # A factor of 1 / 127.5 brings images to [0, 2].
        ({"rescale_factor": 1 / 127.5, "image_mean": [1, 1, 1], "image_std": [1, 1, 1]}, (0.5,) * 3, (0.5,) * 3),
        ({"do_normalize": False, "image_mean": [9, 9, 9]}, (0, 0, 0), (1, 1, 1)),
        ({"do_rescale": True}, (0, 0, 0), (1, 1, 1)),
        ({"do_normalize": True}, IMAGENET.mean, IMAGENET.std),
    ],
)
def test_conventions(processor: dict[str, Any], mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    found = convention_of(processor)
    assert found.order == "rgb"
    assert found.mean == pytest.approx(mean)
    assert found.std == pytest.approx(std)


def test_channel_order() -> None:
    assert convention_of({"do_flip_channel_order": True}).order == "bgr"


def test_entries_are_what_rebuilds_a_config() -> None:
    class Config:
        def to_json_string(self, use_diff: bool) -> str:
            assert use_diff
            return json.dumps({"model_type": "beit", "depths": [1, 2], "id2label": {"0": "a"}, "dtype": "float32"})

    assert entries(Config()) == {"depths": [1, 2]}
