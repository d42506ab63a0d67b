"""Depth estimators of transformers: the library's numbers, one channel, taps, and a package that rebuilds them."""

from pathlib import Path

import pytest
import torch
from tiny_hf import DEPTH, save_depth

from densekd.distill.probe import probe
from densekd.models import contract
from densekd.models.open import open_model
from densekd.models.sources.huggingface import huggingface

transformers = pytest.importorskip("transformers")

SIZE = {"depth_anything": (56, 70), "dpt": (64, 64)}


@pytest.mark.parametrize("model_type", DEPTH)
def test_the_librarys_own_depths(tmp_path: Path, model_type: str) -> None:
    theirs = save_depth(model_type, tmp_path)
    ours = huggingface(str(tmp_path), 1, weights="all").eval()
    images = torch.rand(2, 3, *SIZE[model_type])
    with torch.no_grad():
        expected = theirs(pixel_values=ours.normalize(images)).predicted_depth
        found = ours(images)
    assert found.shape == (2, 1, *expected.shape[1:])
    assert torch.equal(found[:, 0], expected)
    assert found.std() > 0


@pytest.mark.parametrize("model_type", DEPTH)
def test_what_it_says_of_itself(tmp_path: Path, model_type: str) -> None:
    save_depth(model_type, tmp_path)
    opened = open_model(f"hf:{tmp_path}")
    assert (opened.config.task, opened.classes.names) == ("depth", ("depth",))
    assert contract.task_of(opened.model) == "depth"
    assert contract.num_classes(opened.model) == 1
    assert contract.backbone(opened.model) is not None
    paths = ["logits", "pre_logits", *(f"features.{k}" for k in range(4))]
    images = torch.rand(1, 3, *SIZE[model_type])
    maps = probe(opened.model, paths, images)
    height, width = (side // (14 if model_type == "depth_anything" else 16) for side in SIZE[model_type])
    assert [tuple(maps[f"features.{k}"].shape) for k in range(4)] == [(1, 16, height, width)] * 4
    assert maps["logits"].shape[1] == 1
    assert maps["pre_logits"].shape[2:] == maps["logits"].shape[2:]
    name, options = opened.config.model, opened.config.options
    again = huggingface(name.removeprefix("hf:"), 1, **options).eval()
    again.load_state_dict(opened.model.state_dict())
    with torch.no_grad():
        assert torch.equal(again(images), opened.model(images))


def test_a_model_type_with_two_heads_is_read_by_its_architecture() -> None:
    config = DEPTH["dpt"]
    assert contract.task_of(huggingface("dpt", 3, config)) == "segmentation"
    depth = huggingface("dpt", 1, {**config, "architectures": ["DPTForDepthEstimation"]})
    assert contract.task_of(depth) == "depth"


def test_images_of_any_size(tmp_path: Path) -> None:
    model = huggingface("depth_anything", 1, DEPTH["depth_anything"]).eval()
    with torch.no_grad():
        assert model(torch.rand(1, 3, 50, 64)).shape == (1, 1, 56, 70)
