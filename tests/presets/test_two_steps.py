"""One preset of each system and task is trained for two steps: official data layouts, weights in published files.

Data are miniature trees, weights are fabricated from the key lists that the projects' own code wrote; the networks are
those of the recipes. Only the views are small, the batches, and the memories.
"""

import csv
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from dataset_trees import coco_content, make_ade20k, make_cityscapes, make_coco
from published_layouts import fabricate, layout_names, layout_of, published_name, read_layout
from torchvision.models import resnet50

import densekd
from densekd.presets import PRESETS
from densekd.recipe.shipped import named_recipe

# Preset -> what is made small of its own.
NAMES: dict[str, tuple[str, ...]] = {
    "td-r18-cwd-gan-pixel": (),
    "mmrazor-r18-cwd": (),
    "cirkd-r18-cirkd": ("distill.2.options.pixel_memory_size=64", "distill.2.options.region_memory_size=32"),
    "cirkdv2-r18": (
        "distill.3.options.pixel_memory_size=64",
        "distill.3.options.region_memory_size=32",
        "distill.4.options.channel_memory_size=64",
    ),
    "hwd-r18": (),
    "segdistill-b0-cgd-sw": (),
    "segdistill-swin-t-cgd": (),
    "gfl-r101-r50-cwd-head": (),
    "gfl-r101-r50-ld-authors": (),
}
# Folders whose files have a name that another project has too.
PROJECTS = {"cirkd": "cirkd1_", "cirkdv2": "cirkd2_"}
RESNET50 = "checkpoints/torchvision/resnet50-0676ba61.pth"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that a user would train in: data/ and checkpoints/ lie below it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_data(dataset: str, home: Path) -> None:
    """Write a miniature tree where the recipes expect the data."""
    if dataset == "cityscapes":
        make_cityscapes(home / "data" / "cityscapes")
    elif dataset == "ade20k":
        make_ade20k(home / "data" / "ade")
    else:
        content = coco_content()
        # The other categories of COCO's 80 have no boxes here.
        content["categories"] += [{"id": 100 + k, "name": f"category {k}"} for k in range(78)]
        for split in ("train2017", "val2017"):
            folder = home / "data" / "coco"
            make_coco(folder / "annotations" / f"instances_{split}.json", folder / split, content)


def make_weights(place: str, home: Path) -> None:
    """Write a file as its project publishes it."""
    path = Path(place)
    if place == RESNET50:
        with torch.device("meta"):
            layout: dict[str, Any] = layout_of(resnet50().state_dict())
    else:
        project = PROJECTS.get(path.parent.name, "")
        found = [name for name in layout_names() if published_name(name) == path.name]
        (name,) = [name for name in found if len(found) == 1 or name.startswith(project)]
        layout = read_layout(name)
    fabricate(layout, home / path, "fan_in")


def overrides_of(name: str, content: dict[str, Any]) -> list[str]:
    """Return what makes a recipe small: two steps of two images."""
    small = ["training.steps=2", "training.log_every=1", "data.batch_size=2", "data.workers=0", "logging=[]"]
    if content["data"]["dataset"] == "coco":
        small += ["data.short_side=64", f"student.pretrained={RESNET50}"]
    else:
        small.append("augment.crop=[64, 64]")
    if "short_side" in content["data"]:
        small.append("data.short_side=64")
    return [*small, *NAMES[name]]


@pytest.mark.parametrize("name", NAMES)
def test_two_steps(name: str, home: Path) -> None:
    content = PRESETS[name].content
    overrides = overrides_of(name, content)
    recipe = named_recipe(name, overrides)
    assert recipe.teacher is not None
    assert recipe.teacher.checkpoint is not None
    assert recipe.student.pretrained is not None
    make_data(content["data"]["dataset"], home)
    make_weights(recipe.teacher.checkpoint, home)
    make_weights(recipe.student.pretrained, home)

    training = densekd.train(name, overrides=overrides, accelerator="cpu", devices=1)

    assert training.run.resolve() == home / "runs" / name
    score = "ap" if content["data"]["dataset"] == "coco" else "miou"
    assert 0 <= training.results["student"][score] <= 100
    assert training.results["teacher"][score] is not None
    # Every term of the recipe has a finite value in both steps.
    with (training.run / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["loss"]]
    assert len(rows) == 2
    terms = [key for key in rows[0] if "distill/" in key]
    methods = {term.method.replace(".", "-") for term in recipe.distill}
    assert {key.partition("distill/")[2].partition("~")[0].rstrip("-0123456789") for key in terms} == methods
    for row in rows:
        assert all(math.isfinite(float(row[key])) for key in terms)
    assert (training.run / "student" / "model.safetensors").is_file()
