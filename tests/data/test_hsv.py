"""The digests are of OpenCV 5.0.0 and 4.8.1 on the same grids (alike), in rows of a multiple of 32 pixels."""

import hashlib
from typing import Any

import pytest
import torch
from torch import Tensor

from densekd.data import hsv
from densekd.data.hsv import HSV, hsv_to_rgb, rgb_to_hsv, through_hsv

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


@pytest.mark.parametrize("change", [{"hue": -18}, {"hue": 17}, {"saturations": LEVELS.repeat_interleave(5)[:256]}])
def test_blocks_and_layouts_give_the_same_colors(change: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    image = torch.randint(256, (37, 41, 3), dtype=torch.uint8).permute(2, 0, 1)
    whole = through_hsv(image, **change)
    monkeypatch.setattr(hsv, "_BLOCK", 100)
    assert torch.equal(through_hsv(image.contiguous(), **change), whole)
    # Step by step.
    hue, saturation, value = rgb_to_hsv(image)
    if "hue" in change:
        hue = ((hue.int() + change["hue"]) % 180).to(torch.uint8)
    else:
        saturation = change["saturations"][saturation.int()]
    assert torch.equal(hsv_to_rgb(HSV(hue, saturation, value)), whole)
