"""Models of segmentation-models-pytorch: the library's own numbers, keys and encoders."""

import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from densekd.builders.models import build_model
from densekd.distill.probe import probe
from densekd.errors import RecipeError, UserError
from densekd.models import find_model
from densekd.recipe import ModelSpec
from densekd.tasks.common import upsample

library = pytest.importorskip("segmentation_models_pytorch")
ARCHITECTURES = sorted(set(library.MODEL_ARCHITECTURES_MAPPING) - {"dpt"})
TINY_VIT = {"embed_dim": 16, "num_heads": 2, "img_size": 64, "dynamic_img_size": True}


def made(name: str, **arguments: Any) -> Any:
    return find_model(f"smp:{name}")(num_classes=3, arguments=arguments).eval()


def theirs(name: str, state: dict[str, torch.Tensor], **arguments: Any) -> Any:
    architecture, encoder = name.split("/")
    model = library.create_model(architecture, encoder, None, 3, 3, **arguments).eval()
    model.load_state_dict(state)  # strict: the keys are the library's
    return model


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@torch.no_grad()
def test_enlarged_logits_are_the_librarys(architecture: str) -> None:
    model = made(f"{architecture}/resnet18")
    images = torch.rand(1, 3, 128, 128)
    expected = theirs(f"{architecture}/resnet18", model.state_dict())(model.normalize(images))
    torch.testing.assert_close(upsample(model, model(images), expected.shape[-2:]), expected, rtol=1e-5, atol=1e-6)
    names = list(model.taps)
    taken = probe(model, names, images)
    assert all(taken[name].ndim == 4 for name in names)
    assert names[-2:] == ["logits", "pre_logits"]
    strides = [128 // taken[name].shape[-1] for name in names[:-2]]
    assert strides[0] == (2 if architecture == "pspnet" else 4)


@torch.no_grad()
def test_dpt_on_a_plain_transformer() -> None:
    encoder = "tu-vit_tiny_patch16_224"
    model = made(f"dpt/{encoder}", **TINY_VIT)
    images = torch.rand(1, 3, 64, 96)
    expected = theirs(f"dpt/{encoder}", model.state_dict(), **TINY_VIT)(model.normalize(images))
    torch.testing.assert_close(upsample(model, model(images), expected.shape[-2:]), expected, rtol=1e-5, atol=1e-6)
    assert probe(model, ["features.3"], images)["features.3"].shape == (1, 16, 4, 6)


@pytest.mark.parametrize("architecture", ["unet", "fpn", "deeplabv3plus"])
def test_any_size_of_image(architecture: str) -> None:
    logits = made(f"{architecture}/resnet18")(torch.rand(1, 3, 70, 106))
    assert logits.shape[1] == 3


def test_the_encoder_tells_the_convention() -> None:
    imagenet = torch.tensor([0.485, 0.456, 0.406])
    torch.testing.assert_close(made("unet/mobilenet_v2").normalize.mean.flatten(), imagenet, rtol=0, atol=1e-4)
    assert made("unet/xception").normalize.mean.flatten().tolist() == [0.5] * 3
    assert made("unet/tu-mobilenetv3_small_050").normalize.mean.flatten().tolist() == pytest.approx(imagenet.tolist())
    assert made("fpn/tu-tf_efficientnetv2_b0").normalize.mean.flatten().tolist() == pytest.approx(
        timm.get_pretrained_cfg("tf_efficientnetv2_b0").mean
    )


@pytest.mark.parametrize("encoder", ["resnet18", "tu-resnet18"])
def test_pretrained_fills_the_encoder(tmp_path: Path, encoder: str) -> None:
    source = timm.create_model("resnet18", num_classes=7)
    torch.save(source.state_dict(), tmp_path / "resnet18.pth")
    spec = ModelSpec(model=f"smp:unet/{encoder}", pretrained=str(tmp_path / "resnet18.pth"))
    student: Any = build_model(spec, 3, "student").model
    state = source.state_dict()
    own = student.backbone.state_dict()
    assert len(own) > 100
    assert all(torch.equal(value, state[key]) for key, value in own.items())


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("unit/resnet18", {}, r"write smp:architecture/encoder\. Did you mean 'unet'\?"),
        ("unet", {}, r"smp:unet: write smp:architecture/encoder"),
        ("unet/tu-resnet18", {"checkpoint_path": "x.pth"}, r"'checkpoint_path' brings weights"),
        ("unet/resnet17", {}, r"smp:unet/resnet17: Wrong encoder name"),
    ],
)
def test_unknown_names(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        made(name, **arguments)


def test_unknown_arguments_are_told() -> None:
    spec = ModelSpec(model="smp:unet/resnet18", options={"arguments": {"decoder_chanels": 3}})
    with pytest.raises(RecipeError, match="decoder_chanels"):
        build_model(spec, 3, "student")


def test_a_missing_library_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    with pytest.raises(UserError, match=r"needs segmentation_models_pytorch.*pip install 'densekd\[smp\]'"):
        made("unet/resnet18")
