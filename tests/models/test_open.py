"""The door for models: published files whole or short of something, packages, interrupted runs, bare weights, names."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
import tiny_hf
import torch
from golden_models import published_state, torchdistiller_names
from torch import Tensor
from typer.testing import CliRunner

from densekd.builders.build import build
from densekd.builders.models import build_teacher
from densekd.cli.app import app
from densekd.data.classes import Classes
from densekd.errors import UserError
from densekd.models import MODELS
from densekd.models.checkpoints import Checkpoint
from densekd.models.classes import are_unnamed
from densekd.models.convert import convert
from densekd.models.open import open_model, read_weights
from densekd.models.package import PackageConfig, config_of, save_package
from densekd.recipe import ModelSpec, parse_recipe
from densekd.seal import read_document


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
        ["backbone.conv1.weight", "bbox_head.gfl_cls.weight", "neck.lateral_convs.0.conv.weight"],
        ["cls_token", "blocks.0.attn.qkv.weight"],
    ],
    ids=["detector", "transformer"],
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


def test_a_file_of_another_width_than_asked_is_refused(state: dict[str, Tensor], tmp_path: Path) -> None:
    path = saved(state, tmp_path / "file.pth")
    width = open_model(path).config.options["channels"]
    open_model(path, options={"channels": width})
    message = "channels wide, and the options ask for 4096"
    with pytest.raises(UserError, match=message):
        open_model(path, options={"channels": 4096})
    # The same where a recipe names the architecture beside the file.
    with pytest.raises(UserError, match=message):
        open_model(path, model="pspnet", options={"channels": 4096})


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


def package(folder: Path, **changes: Any) -> Path:
    """Write a package, and change or remove (None) entries of its config."""
    model = MODELS["gfl"](2, backbone="resnet18_025", channels=8, depth=1)
    options = {"backbone": "resnet18_025", "channels": 8, "depth": 1}
    save_package(model, PackageConfig("gfl", options, ["a", "b"], [[0, 0, 0]] * 2), folder)
    content = read_document(folder / "config.json")
    content |= changes
    content = {key: value for key, value in content.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(content))
    return folder


def test_a_package_older_than_tasks_says_its_own(tmp_path: Path) -> None:
    opened = open_model(package(tmp_path / "old", task=None))
    assert opened.config.task == "detection"
    # Converted, it keeps what was found.
    convert(opened, tmp_path / "new", None, "refuse")
    assert json.loads((tmp_path / "new" / "config.json").read_text())["task"] == "detection"
    assert open_model(package(tmp_path / "other", task="my.module:Task")).config.task == "my.module:Task"


def test_a_package_older_than_freeze_is_opened(tmp_path: Path) -> None:
    options = {"backbone": "resnet18_025", "channels": 8, "depth": 1, "learns": "finetune"}
    opened = open_model(package(tmp_path, options=options))
    assert opened.config.options["freeze"] == ["stem", "stage1"]
    assert opened.notes == ()


def test_an_interrupted_run_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "recipe.yaml").write_text("name: x")
    with pytest.raises(UserError, match=r"stopped before its first checkpoint.* 'densekd train .*/run --resume'"):
        open_model(tmp_path / "run")
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    last.write_bytes(b"x")
    message = rf"run: this run was interrupted.*'densekd train {tmp_path}/run --resume', or open {last}"
    with pytest.raises(UserError, match=message):
        open_model(tmp_path / "run")
    with pytest.raises(UserError, match=message):
        read_weights(tmp_path / "run")


def test_a_folder_of_transformers_names_its_source(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "segformer", "architectures": []}')
    with pytest.raises(UserError, match=f"the config of a transformers model; write hf:{tmp_path} instead"):
        open_model(tmp_path)


def test_bare_weights_under_our_names_need_a_name(tmp_path: Path) -> None:
    model = MODELS["fpn"](3, backbone="resnet18_025", channels=16).eval()
    torch.save(model.state_dict(), tmp_path / "bare.pth")
    options = {"backbone": "resnet18_025", "channels": 16}
    with pytest.raises(UserError, match=r"not recognized.* Name the model and its options"):
        open_model(tmp_path / "bare.pth")
    with pytest.raises(UserError, match="say how many classes the model tells apart"):
        open_model(tmp_path / "bare.pth", model="fpn", options=options)
    opened = open_model(tmp_path / "bare.pth", model="fpn", options=options, num_classes=3)
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(opened.model(images), model(images))
    assert opened.classes.names == ("class 0", "class 1", "class 2")
    assert opened.config == config_of("fpn", options, opened.classes, "segmentation")
    with pytest.raises(UserError, match="names an architecture itself; leave model 'fpn' away"):
        open_model("hf:x", model="fpn")


def test_the_command_line_names_them_too(tmp_path: Path) -> None:
    torch.save(MODELS["fpn"](3, backbone="resnet18_025", channels=16).state_dict(), tmp_path / "bare.pth")
    arguments = ["convert", tmp_path / "bare.pth", tmp_path / "out", "--model", "fpn", "--num-classes", 3]
    arguments += ["--option", "backbone=resnet18_025", "--option", "channels=16"]
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output + str(result.exception)
    assert open_model(tmp_path / "out").config.options == {"backbone": "resnet18_025", "channels": 16}


def test_classes_are_those_that_the_file_names(state: dict[str, Tensor], tmp_path: Path) -> None:
    names = [f"name {k}" for k in range(19)]
    palette = [[k, k, k] for k in range(19)]
    for meta in ({"CLASSES": names, "PALETTE": palette}, {"dataset_meta": {"classes": names, "palette": palette}}):
        torch.save({"meta": meta, "state_dict": state}, tmp_path / "a.pth")
        classes = open_model(tmp_path / "a.pth").classes
        assert classes.names == tuple(names)
        assert classes.palette[3] == (3, 3, 3)
    for meta in ({}, {"CLASSES": names[:4], "PALETTE": "random"}, {"CLASSES": "cat", "dataset_meta": None}):
        torch.save({"meta": meta, "state_dict": state}, tmp_path / "a.pth")
        classes = open_model(tmp_path / "a.pth").classes
        assert classes.names[:2] == ("class 0", "class 1")
        assert are_unnamed(classes)
        assert len(set(classes.palette)) == 19


def test_a_model_of_the_hub_brings_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = pytest.importorskip("transformers")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    tiny_hf.save("segformer", 3, tmp_path / "numbered")
    assert open_model(f"hf:{tmp_path / 'numbered'}").classes.names == ("class 0", "class 1", "class 2")
    names = {0: "road", 1: "car", 2: "tree"}
    settings = library.AutoConfig.for_model("segformer", id2label=names, **tiny_hf.SEMANTIC["segformer"])
    library.AutoModelForSemanticSegmentation.from_config(settings).save_pretrained(tmp_path / "named")
    opened = open_model(f"hf:{tmp_path / 'named'}")
    assert opened.classes.names == ("road", "car", "tree")
    assert opened.config.task == "segmentation"


def test_random_weights_are_had_where_they_are_asked_for() -> None:
    opened = open_model("timm:resnet18", options={"channels": 8}, num_classes=4, weights="none")
    assert not opened.model.training
    assert len(opened.classes.names) == 4
    assert open_model("fpn", num_classes=2, weights="body").config.model == "fpn"
    with pytest.raises(UserError, match="timm:resnet18: say how many classes it tells apart"):
        open_model("timm:resnet18", weights="none")
    # A bare backbone has no classes.
    assert open_model("timm:resnet18", options={"head": "none"}, num_classes=4, weights="none").classes.names == ()


def test_a_file_may_not_name_a_function(tmp_path: Path) -> None:
    torch.save(
        {"state_dict": {"a": torch.ones(1)}, "densekd": {"package": {"model": "os:system"}}}, tmp_path / "a.ckpt"
    )
    with pytest.raises(UserError, match="not the config of a student package"):
        open_model(tmp_path / "a.ckpt")
    described = {"model": "os:system", "options": {}, "classes": ["a"], "palette": [[0, 0, 0]]}
    torch.save({"state_dict": {"a": torch.ones(1)}, "densekd": {"package": described}}, tmp_path / "a.ckpt")
    with pytest.raises(UserError, match=r"'os:system' is Python's own, and nothing there is a model"):
        open_model(tmp_path / "a.ckpt")


def test_weights_of_a_package_have_their_description_beside_them(tmp_path: Path) -> None:
    model = MODELS["fpn"](2, backbone="resnet18_025", channels=8)
    options = {"backbone": "resnet18_025", "channels": 8}
    classes = Classes(("road", "car"), ((1, 2, 3), (4, 5, 6)), 255)
    save_package(model, config_of("fpn", options, classes, "segmentation"), tmp_path)
    opened = open_model(tmp_path / "model.safetensors")
    assert opened.classes == classes
    # The description of another library is none.
    (tmp_path / "config.json").write_text('{"model_type": "segformer"}')
    with pytest.raises(UserError, match="not recognized"):
        open_model(tmp_path / "model.safetensors")
