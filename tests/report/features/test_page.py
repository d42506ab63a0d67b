"""The page of feature pictures: legends, escaping, what is missing."""

import re
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from densekd.report.features import FeatureOptions, Shown, write_features
from densekd.tasks.pixel_groups import NO_GROUP, PixelGroups


class Picker(nn.Module):
    """Every fourth pixel, and as logits two of its channels."""

    def __init__(self) -> None:
        super().__init__()
        self.pick = nn.MaxPool2d(1, stride=4)

    def forward(self, images: Tensor) -> Tensor:
        picked: Tensor = self.pick(images)
        return picked[:, :2]


def pixels() -> PixelGroups:
    groups = torch.zeros(32, 32, dtype=torch.int64)
    groups[:, 20:] = 1
    groups[:4] = NO_GROUP
    torch.manual_seed(0)
    image = torch.randint(90, (3, 32, 32), dtype=torch.uint8)
    image[0][groups == 1] += 120
    names = ("road", "<b>car</b>", "never")
    colors = ((10, 20, 30), (40, 50, 60), (70, 80, 90))
    return PixelGroups(names, colors, (image,), (groups,), ("first<i>",))


def drawn(tmp_path: Path, roles: tuple[str, ...] = ("teacher", "baseline", "student"), **options: int) -> str:
    models = {role: Picker() for role in roles}
    missing = {role: f"no {role}" for role in ("teacher", "baseline") if role not in roles}
    shown = Shown(models, missing, pixels(), "a <run>")
    path = tmp_path / "features.html"
    write_features(shown, FeatureOptions(tap="pick", **options), path)
    return path.read_text(encoding="utf-8")


def dots(page: str) -> list[tuple[str, int, str]]:
    """Return color, number of dots and title of each path."""
    found = re.findall(r'<path stroke="(.*?)" d="(.*?)"><title>(.*?)</title>', page)
    return [(color, path.count("M"), title) for color, path, title in found]


def test_classes_have_their_colors_and_their_pixels(tmp_path: Path) -> None:
    page = drawn(tmp_path)
    # 8 x 8 positions; the first row is void, columns 5 to 7 are cars. PCA and t-SNE of three models.
    road, car = ("rgb(10,20,30)", 35, "road"), ("rgb(40,50,60)", 21, "&lt;b&gt;car&lt;/b&gt;")
    assert dots(page) == [road, car] * 6
    legend = re.findall(r'style="background:(rgb.*?)"></span>(.*?) \((\d+)\)', page)
    assert legend == [("rgb(10,20,30)", "road", "35"), ("rgb(40,50,60)", car[2], "21")]
    assert "never" not in page
    assert [page.count(f"</span>{role}</h3>") for role in ("teacher", "alone", "distilled")] == [1, 1, 1]


def test_planted_classes_are_apart_in_the_drawing(tmp_path: Path) -> None:
    page = drawn(tmp_path, ("student",))
    paths = re.findall(r' d="(.*?)"', page)[:2]
    centers = []
    for path in paths:
        places = [tuple(map(float, place.split())) for place in re.findall(r"M([\d.]+ [\d.]+)h0", path)]
        assert all(0 <= x <= 320 and 0 <= y <= 320 for x, y in places)
        centers.append(torch.tensor(places).mean(0))
    assert torch.dist(*centers) > 60
    assert "nearest neighbor of the same class: 100.0 %" in page


def test_everything_is_escaped_and_nothing_is_loaded(tmp_path: Path) -> None:
    page = drawn(tmp_path)
    assert "<b>car" not in page
    assert "<i>" not in page
    assert "a &lt;run&gt;" in page
    assert "http://" not in page
    assert "https://" not in page
    assert "<script" not in page
    assert [path.name for path in tmp_path.iterdir()] == ["features.html"]


def test_missing_models_say_why(tmp_path: Path) -> None:
    page = drawn(tmp_path, ("student",))
    assert '<div class="missing">no teacher</div>' in page
    assert '<div class="missing">no baseline</div>' in page
    assert len(dots(page)) == 4


def test_channel_maps_of_logits_and_features(tmp_path: Path) -> None:
    page = drawn(tmp_path)
    # Of 3 names and 2 channels no channel stands for a class: the maps are those of the features.
    assert "logits:" not in page
    assert page.count('class="note">features: variation') == 3
    assert page.count("data:image/png") == 9
    assert "distilled: channel 0" in page


def test_without_scikit_learn_the_page_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    shown = Shown({"student": Picker()}, {"teacher": "no file"}, pixels(), "run")
    notes = write_features(shown, FeatureOptions(tap="pick"), tmp_path / "features.html")
    assert notes == ["teacher: no file", "t-SNE needs scikit-learn: pip install 'densekd[features]'"]
    page = (tmp_path / "features.html").read_text(encoding="utf-8")
    assert "pip install" in page
    assert len(dots(page)) == 2
