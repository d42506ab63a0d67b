"""Any student learns from any teacher: other family, stride, width and input convention; and leaves without a trace."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_data import make_folder
from tiny_hf import SEMANTIC, save
from torch import Tensor

from densekd.builders.build import Built, build
from densekd.models.open import open_model
from densekd.models.package import save_package
from densekd.recipe import parse_recipe
from densekd.run.folder import RunFolder
from densekd.run.train import Launch, train
from densekd.terminal import Terminal

CLASSES = 3
NARROW = {"channels": [8, 16, 24, 32]}
VIT = {"embed_dim": 16, "depth": 4, "num_heads": 2, "img_size": 56}

STUDENTS: dict[str, dict[str, Any]] = {
    "pspnet": {"model": "pspnet", "options": {"backbone": "resnet18_025", "channels": 16}},
    "deeplabv3": {"model": "deeplabv3", "options": {"backbone": "mobilenetv2_100", "channels": 16}},
    "segformer": {"model": "segformer", "options": {"channels": 16}},
    "upernet": {"model": "upernet", "options": {"backbone": "swin_tiny", "channels": 16, "auxiliary_channels": 16}},
    "hf-segformer": {"model": "hf:segformer", "options": {"config": SEMANTIC["segformer"]}},
    "hf-upernet": {"model": "hf:upernet", "options": {"config": SEMANTIC["upernet"]}},
    "hf-mobilevit": {"model": "hf:mobilevit", "options": {"config": SEMANTIC["mobilevit"]}},
    "smp": {"model": "smp:unet/tu-mobilenetv3_small_050",
            "options": {"arguments": {"decoder_channels": [16, 16, 8, 8, 8]}}},
    "timm": {"model": "timm:resnet18", "options": {"channels": 16, "arguments": NARROW}},
    "torchvision": {"model": "torchvision:lraspp_mobilenet_v3_large"},
    "torchvision-aux": {"model": "torchvision:deeplabv3_mobilenet_v3_large", "options": {"auxiliary": "fcn"}},
}  # fmt: skip
EXTRAS = {"hf": "transformers", "smp": "segmentation_models_pytorch"}
LOGITS = {"method": "cwd", "weight": 3, "options": {"temperature": 4}, "resize_to": "teacher"}
FEATURES = {"method": "l2", "weight": 1, "student": "features.3", "teacher": "features.3", "resize_to": "teacher"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of exactly 64 x 64 pixels."""
    return make_folder(tmp_path_factory.mktemp("pairs"), {"train": 4, "val": 1}, (64, 64), CLASSES)


@pytest.fixture(scope="module")
def mask2former(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the hub has them: a mask classifier at stride 4."""
    pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("mask2former")
    save("mask2former", CLASSES, folder)
    return folder


@pytest.fixture(params=["pspnet", "mask2former", "dinov2"])
def teacher_features(request: pytest.FixtureRequest) -> dict[str, Any]:
    """A teacher and what it teaches: BGR at stride 8; a mask classifier at stride 4; features alone at stride 14."""
    if request.param == "pspnet":
        teacher = {"model": "pspnet", "options": {"backbone": "resnet18_025", "family": "cirkd"}}
        terms = [LOGITS, {**FEATURES, "adapter": "conv"}]
        return {"teacher": {**teacher, "checkpoint": "untrained"}, "distill": terms}
    if request.param == "mask2former":
        folder = request.getfixturevalue("mask2former")
        terms = [LOGITS, {**FEATURES, "teacher": "pre_logits", "adapter": "conv-bn-relu"}]
        return {"teacher": {"model": f"hf:{folder}"}, "distill": terms}
    options = {"head": "none", "arguments": VIT}
    teacher = {"model": "timm:vit_small_patch14_dinov2", "options": options, "checkpoint": "untrained"}
    return {"teacher": teacher, "distill": [{**FEATURES, "adapter": "conv"}]}


def recipe_of(data: Path, student: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": "pair",
        "data": {"dataset": "folder", "root": str(data), "batch_size": 2, "cache": "off"},
        "augment": {"crop": [64, 64], "scale": [1, 1]},
        "student": student,
        "optimizer": {"method": "adamw", "lr": 0.001},
        "training": {"steps": 1},
    }


@pytest.mark.parametrize("name", STUDENTS)
def test_one_step_and_a_package(data: Path, teacher_features: dict[str, Any], name: str, tmp_path: Path) -> None:
    student = STUDENTS[name]
    source = student["model"].partition(":")[0]
    if source in EXTRAS:
        pytest.importorskip(EXTRAS[source])
    pair = build(parse_recipe({**recipe_of(data, student), **teacher_features}, "test"))
    check_step(pair)
    check_package(pair, tmp_path, teaches_logits=len(teacher_features["distill"]) == 2)


def test_a_whole_training(data: Path, tmp_path: Path) -> None:
    """A teacher of features has no scores; everything else is as with any teacher."""
    teacher = {"model": "timm:vit_small_patch14_dinov2", "options": {"head": "none", "arguments": VIT}}
    content = recipe_of(data, STUDENTS["timm"]) | {
        "teacher": {**teacher, "checkpoint": "untrained"},
        "distill": [{**FEATURES, "adapter": "conv"}],
    }
    console = Terminal(quiet=True)
    results = train(parse_recipe(content, "test"), RunFolder(tmp_path), Launch("cpu", "1"), "refuse", console)
    assert results["teacher"] is None
    assert 0 <= results["student"]["miou"] <= 100
    assert open_model(tmp_path).config.model == "timm:resnet18"


def check_step(pair: Built) -> None:
    """One optimizer step by hand: finite summands, gradients wherever the recipe's terms reach, a frozen teacher."""
    distiller = pair.distiller
    distiller._trainer = None
    optimizer = distiller.configure_optimizers()["optimizer"]
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    batch = {"images": images, "target": torch.randint(0, CLASSES, (2, 64, 64))}
    before = {key: value.clone() for key, value in distiller.student.state_dict().items()}
    teacher = _copied(distiller.teacher.model)
    result = distiller.training_step(batch, 0)
    assert result["loss"].isfinite()
    assert all(value > 0 for value in result["losses"].values()), result["losses"]
    result["loss"].backward()
    gradients = {name: p.grad for name, p in distiller.student.named_parameters()}
    bad = [name for name, g in gradients.items() if g is None or not g.isfinite().all()]
    assert [
        name for name in bad if "swin.layernorm" not in name
    ] == []  # which the library makes and UperNet never runs
    adapters = [p.grad for name, p in distiller.terms.named_parameters() if "adapter" in name]
    assert adapters
    assert all(g is not None and g.abs().sum() > 0 for g in adapters)
    assert all(p.grad is None for p in distiller.teacher.parameters())
    optimizer.step()
    assert any(not torch.equal(value, before[key]) for key, value in distiller.student.state_dict().items())
    assert all(torch.equal(value, teacher[key]) for key, value in _copied(distiller.teacher.model).items())


def check_package(pair: Built, folder: Path, teaches_logits: bool) -> None:
    """The student leaves as two files that need nothing else and say nothing of how it learnt."""
    assert (pair.scored_teacher is not None) == teaches_logits
    student: Any = pair.distiller.student
    if hasattr(student, "auxiliary"):
        student.auxiliary = None
    save_package(student, pair.package, folder)
    loaded = open_model(folder).model
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(loaded(images), student.eval()(images), rtol=1e-5, atol=1e-6)
    written = load_file(folder / "model.safetensors")
    assert written.keys() == loaded.state_dict().keys()
    assert not any(word in key for key in written for word in ("teacher", "adapter", "terms", "aux"))
    assert json.loads((folder / "config.json").read_text())["classes"] == [f"class{c}" for c in range(CLASSES)]


def _copied(model: torch.nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}
