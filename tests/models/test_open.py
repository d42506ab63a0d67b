"""Files of other projects that are whole, short of something, or something else altogether."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from golden_models import published_state, torchdistiller_names
from torch import Tensor

from densekd.builders.build import build, build_teacher
from densekd.errors import UserError
from densekd.models import MODELS
from densekd.models.checkpoints import Checkpoint
from densekd.models.open import open_model
from densekd.recipe import ModelSpec, parse_recipe


@pytest.fixture
def state() -> dict[str, Tensor]:
    return published_state("mmseg_pspnet_r18-d8")


def saved(state: dict[str, Tensor], path: Path) -> Path:
    torch.save({"meta": {}, "state_dict": state}, path)
    return path


def test_three_missing_keys_are_named(state: dict[str, Tensor], tmp_path: Path) -> None:
    for key in ("backbone.layer2.0.bn1.weight", "decode_head.bottleneck.bn.bias", "decode_head.conv_seg.bias"):
        del state[key]
    with pytest.raises(UserError) as error:
        open_model(saved(state, tmp_path / "a.pth"))
    message = str(error.value)
    assert "recognized as pspnet of mmsegmentation, but does not fit it; nothing was loaded" in message
    assert "missing 3: backbone.layer2.0.bn1.weight, head.bottleneck.1.bias, head.classifier.bias" in message


def test_a_missing_auxiliary_head_is_no_fault(state: dict[str, Tensor], tmp_path: Path) -> None:
    state = {key: value for key, value in state.items() if not key.startswith("auxiliary_head")}
    opened = open_model(saved(state, tmp_path / "a.pth"))
    assert opened.config.options["auxiliary_channels"] == 0
    assert opened.model.auxiliary is None


@pytest.mark.parametrize(
    "keys",
    [
        ["fc.weight", "fc.bias", "layer1.0.conv1.weight"],
        ["backbone.conv1.weight", "bbox_head.gfl_cls.weight", "neck.lateral_convs.0.conv.weight"],
        ["cls_token", "blocks.0.attn.qkv.weight"],
    ],
    ids=["classifier", "detector", "transformer"],
)
def test_another_kind_of_network_is_not_recognised(keys: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not recognized; no known format has") as error:
        open_model(saved({key: torch.zeros(1) for key in keys}, tmp_path / "a.pth"))
    assert keys[0] in str(error.value)


def test_a_file_alone_is_a_teacher(state: dict[str, Tensor], recipe: dict[str, Any], tmp_path: Path) -> None:
    path = saved(state, tmp_path / "pspnet_r18-d8_512x1024_80k_cityscapes.pth")
    recipe["teacher"] = {"checkpoint": str(path)}
    taps = {"student": "features.3", "teacher": "features.3", "resize_to": "teacher"}
    recipe["distill"] = [{"method": "at", "weight": 1, **taps}]
    built = build(parse_recipe(recipe, "test"))
    assert built.scored_teacher is None  # 19 classes, the data has 3
    assert built.distiller.teacher is not None


def test_a_published_file_fits_a_model_of_the_same_architecture(state: dict[str, Tensor], tmp_path: Path) -> None:
    path = saved(state, tmp_path / "a.pth")
    named = build_teacher(ModelSpec(model="pspnet", checkpoint=str(path)), 19).model
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(named.eval()(images), open_model(path).model(images))
    without = {"auxiliary_channels": 0}
    spec = ModelSpec(model="pspnet", checkpoint=str(path), options=without, allow=("auxiliary.*",))
    other = "other shape 2: head.classifier.weight (file [19, 128, 1, 1], model [3, 128, 1, 1])"
    with pytest.raises(UserError, match=re.escape(other)):
        build_teacher(spec, 3)


def test_options_override_what_was_recognised(state: dict[str, Tensor], tmp_path: Path) -> None:
    path = saved(state, tmp_path / "a.pth")
    opened = open_model(path, options={"auxiliary_channels": 0}, allow=["auxiliary.*"])
    assert opened.model.auxiliary is None
    with pytest.raises(UserError, match="unknown option 'width'"):
        open_model(path, options={"width": 3})


def test_a_large_file_is_imported_in_time(tmp_path: Path) -> None:
    """Building PSPNet-R101 and importing takes less than 3 s more than reading the file."""
    options = {"backbone": "resnet101", "family": "torchdistiller", "auxiliary_channels": 512}
    state = MODELS["pspnet"](19, **options).state_dict()
    path = tmp_path / "teacher_city.pth"
    torch.save(torchdistiller_names(state), path)
    start = time.perf_counter()
    Checkpoint.read(path)
    reading = time.perf_counter() - start
    opened = open_model(path)
    assert time.perf_counter() - start - 2 * reading < 3
    assert opened.config.options["backbone"] == "resnet101"
    assert sum(p.numel() for p in opened.model.parameters()) / 1e6 == pytest.approx(70.44, abs=0.01)
