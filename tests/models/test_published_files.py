"""Table of published files: places, digests, and how a path finds its file."""

import re
from pathlib import Path

import pytest

from densekd.models.published_files import PUBLISHED_FILES, find_published, how_to_get
from densekd.recipe import load_recipe

ROOT = Path(__file__).parents[2]
PSPNET = "pspnet_r101-d8_512x1024_80k_cityscapes_20200606_112211-e1e1100f.pth"


def test_each_file_has_an_address_or_a_page() -> None:
    for place, file in PUBLISHED_FILES.items():
        assert place == file.place == f"checkpoints/{file.system}/{file.name}"
        assert bool(file.url) != bool(file.page), place
        assert (file.url or file.page).startswith("https://"), place
        assert file.what, place
        # A direct address ends with the file's own name; a person's page does not.
        assert file.name.endswith(".pth"), place
        assert not file.url or file.url.endswith(f"/{file.name}"), place


@pytest.mark.parametrize(
    ("place", "digest", "url"),
    [
        (f"mmseg/{PSPNET}", "e1e1100f",
         f"https://download.openmmlab.com/mmsegmentation/v0.5/pspnet/pspnet_r101-d8_512x1024_80k_cityscapes/{PSPNET}"),
        ("mmdet/gfl_r101_fpn_mstrain_2x_coco_20200629_200126-dd12f847.pth", "dd12f847",
         "https://download.openmmlab.com/mmdetection/v2.0/gfl/gfl_r101_fpn_mstrain_2x_coco/"
         "gfl_r101_fpn_mstrain_2x_coco_20200629_200126-dd12f847.pth"),
        ("mmdet/faster_rcnn_r101_fpn_2x_coco_bbox_mAP-0.398_20200504_210455-1d2dac9c.pth", "1d2dac9c",
         "https://download.openmmlab.com/mmdetection/v2.0/faster_rcnn/faster_rcnn_r101_fpn_2x_coco/"
         "faster_rcnn_r101_fpn_2x_coco_bbox_mAP-0.398_20200504_210455-1d2dac9c.pth"),
        ("cirkdv2/deeplabv3_resnet101_citys_best_model.pth", "",
         "https://github.com/winycg/CIRKD/releases/download/segv0.1/deeplabv3_resnet101_citys_best_model.pth"),
        ("swin/swin_tiny_patch4_window7_224.pth", "",
         "https://github.com/SwinTransformer/storage/releases/download/v1.0.0/swin_tiny_patch4_window7_224.pth"),
        ("torchdistiller/teacher_city.pth", "", ""),
    ],
)  # fmt: skip
def test_addresses(place: str, digest: str, url: str) -> None:
    file = PUBLISHED_FILES[f"checkpoints/{place}"]
    assert (file.sha256, file.url) == (digest, url)


def test_a_path_finds_its_file_wherever_it_lies() -> None:
    assert find_published(f"/data/{PSPNET}") is PUBLISHED_FILES[f"checkpoints/mmseg/{PSPNET}"]
    v1 = find_published("elsewhere/cirkd/deeplabv3_resnet101_citys_best_model.pth")
    v2 = find_published("elsewhere/cirkdv2/deeplabv3_resnet101_citys_best_model.pth")
    assert v1 is not None
    assert v2 is not None
    assert ("256" in v1.what, "512" in v2.what) == (True, True)
    # Two projects publish files of this name, so the name alone means neither.
    assert find_published("deeplabv3_resnet101_citys_best_model.pth") is None
    assert find_published("mine.pth") is None


def test_how_to_get_a_file() -> None:
    assert how_to_get("mine.pth") == ""
    assert how_to_get(PSPNET).startswith(" 'densekd fetch RECIPE' brings it from https://download.openmmlab.com/")
    assert "download it by hand from https://drive.google.com/file/d/1epiJnL" in how_to_get("teacher_city.pth")


def test_recipes_name_files_of_the_table() -> None:
    named = 0
    for path in sorted((ROOT / "recipes").rglob("*.yaml")):
        recipe = load_recipe(path)
        specs = [recipe.student] if recipe.teacher is None else [recipe.student, recipe.teacher]
        for source in [spec.pretrained for spec in specs] + [spec.checkpoint for spec in specs]:
            if source is not None and re.search(r"\.pth$", source):
                assert source in PUBLISHED_FILES, f"{path}: {source}"
                named += 1
    assert named > 40
