"""The digests are of OpenCV 5.0.0 and 4.8.1 on the same grids (alike), in rows of a multiple of 32 pixels."""

import hashlib

import pytest
import torch
from torch import Tensor

from densekd.data.hsv import HSV, hsv_to_rgb, rgb_to_hsv

LEVELS = torch.arange(0, 256, 5, dtype=torch.uint8)


def digest(planes: Tensor) -> str:
    """Of the bytes of ``[3, H, W]`` pixel by pixel."""
    return hashlib.sha256(planes.flatten(1).t().contiguous().numpy().tobytes()).hexdigest()


def test_hues_saturations_and_values_of_a_grid_of_colors_are_opencvs() -> None:
    colors = torch.stack(torch.meshgrid(LEVELS, LEVELS, LEVELS, indexing="ij"))
    hsv = rgb_to_hsv(colors.flatten(1)[:, None])
    assert digest(torch.stack(hsv)) == "17d015b0e2005a2548a0746373ffc8e075495af198fd224e1f9636be91ad2e3f"


def test_colors_of_all_hues_are_opencvs() -> None:
    hues = torch.arange(180, dtype=torch.uint8)
    grid = torch.meshgrid(hues, LEVELS, LEVELS, indexing="ij")
    image = hsv_to_rgb(HSV(*(part.flatten()[None] for part in grid)))
    assert digest(image) == "6d2e14271961e96d33c4d602ffc63599be872cb97b4259ae44769e87ec3ee910"


@pytest.mark.parametrize(
    ("color", "expected"),
    [
        ((255, 0, 0), (0, 255, 255)),
        ((0, 255, 0), (60, 255, 255)),
        ((0, 0, 255), (120, 255, 255)),
        ((0, 0, 0), (0, 0, 0)),
        ((90, 90, 90), (0, 0, 90)),
        # Half way between magenta and red: 330 degrees. 255 * 100 / 200 is 127.5, in fixed point less.
        ((200, 100, 150), (165, 127, 200)),
    ],
)
def test_colors_by_hand(color: tuple[int, ...], expected: tuple[int, ...]) -> None:
    image = torch.tensor(color, dtype=torch.uint8).view(3, 1, 1)
    assert tuple(int(part) for part in rgb_to_hsv(image)) == expected
