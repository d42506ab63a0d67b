"""Backbones of timm: their maps, heads on them, and teachers without head."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from densekd.builders.models import build_teacher
from densekd.distill.probe import probe
from densekd.errors import RecipeError
from densekd.models import find_model
from densekd.models.sources.maps import InputSize
from densekd.recipe import ModelSpec

VIT = {"embed_dim": 16, "depth": 8, "num_heads": 2, "img_size": 56}
NARROW = {"channels": [8, 16, 24, 32]}


def made(name: str, **options: Any) -> Any:
    return find_model(f"timm:{name}")(num_classes=3, **options).eval()


@pytest.mark.parametrize(
    ("name", "prefix", "patch"),
    [
        ("vit_small_patch14_dinov2", 1, 14),
        ("vit_small_patch14_reg4_dinov2", 5, 14),
        ("vit_small_patch16_dinov3", 5, 16),
    ],
)
@torch.no_grad()
def test_the_maps_of_a_plain_transformer(name: str, prefix: int, patch: int) -> None:
    arguments = VIT | ({"img_size": 64} if patch == 16 else {})
    model = made(name, head="none", arguments=arguments)
    blocks: list[torch.Tensor] = []
    for block in model.backbone.blocks:
        block.register_forward_hook(lambda module, inputs, output: blocks.append(output))
    h, w = 3, 5
    images = torch.rand(2, 3, h * patch, w * patch)
    taken = probe(model, list(model.taps), images)
    tokens = [*(blocks[k] for k in (1, 3, 5)), model.backbone.forward_features(model.normalize(images))]
    for i, expected in enumerate(tokens):
        torch.testing.assert_close(taken[f"features.{i}"].flatten(2).mT, expected[:, prefix:], msg=f"features.{i}")
    assert taken["features.3"].shape == (2, 16, h, w)
    # Normalised: every token has mean 0 and variance 1 before the norm's own factor and shift, here 1 and 0.
    torch.testing.assert_close(taken["features.3"].mean(1), torch.zeros(2, h, w), rtol=0, atol=1e-5)


def test_images_are_brought_to_whole_patches() -> None:
    model = made("vit_small_patch14_dinov2", head="none", arguments=VIT)
    assert model.input_size == InputSize(14)
    assert probe(model, ["features.3"], torch.rand(1, 3, 40, 57))["features.3"].shape[2:] == (3, 5)


@pytest.mark.parametrize(
    ("name", "options", "maps", "logits"),
    [
        ("resnet18", {"arguments": NARROW}, [(16, 8), (8, 16), (4, 24), (2, 32)], 16),
        ("resnet18", {"head": "psp", "arguments": {**NARROW, "output_stride": 8}},
         [(16, 8), (8, 16), (8, 24), (8, 32)], 8),
        ("resnet18", {"head": "fcn", "arguments": {**NARROW, "output_stride": 16}},
         [(16, 8), (8, 16), (4, 24), (4, 32)], 4),
        # Channels come last inside Swin, and first in our maps.
        ("swin_tiny_patch4_window7_224", {"arguments": {"embed_dim": 12, "depths": [1, 1, 1, 1]}},
         [(16, 12), (8, 24), (4, 48), (2, 96)], 16),
        ("vit_tiny_patch16_224", {"head": "fpn", "arguments": VIT | {"img_size": 64}}, [(4, 16)] * 4, 4),
    ],
)  # fmt: skip
def test_heads(name: str, options: dict[str, Any], maps: list[tuple[int, int]], logits: int) -> None:
    model = made(name, channels=16, **options)
    taken = probe(model, list(model.taps), torch.rand(2, 3, 64, 64))
    found = [taken[f"features.{i}"] for i in range(4)]
    assert [(x.shape[-1], x.shape[1]) for x in found] == maps
    assert taken["logits"].shape == (2, 3, logits, logits)
    torch.testing.assert_close(model.head.classifier(taken["pre_logits"]), taken["logits"])


def test_maps_are_those_of_features_only() -> None:
    model = made("resnet18", arguments=NARROW)
    theirs = timm.create_model("resnet18", features_only=True, out_indices=(1, 2, 3, 4), **NARROW).eval()
    theirs.load_state_dict(model.backbone.state_dict())
    images = torch.rand(2, 3, 64, 64)
    taken = probe(model, [f"features.{i}" for i in range(4)], images)
    with torch.no_grad():
        expected = theirs(model.normalize(images))
    assert all(torch.equal(a, b) for a, b in zip(taken.values(), expected, strict=True))


def test_sizes_that_a_network_accepts() -> None:
    assert made("resnet18", arguments=NARROW).input_size == InputSize()
    assert made(
        "swin_tiny_patch4_window7_224", arguments={"embed_dim": 12, "depths": [1, 1, 1, 1]}
    ).input_size == InputSize(4)
    fixed = made("beit_base_patch16_224", arguments={"embed_dim": 16, "depth": 4, "num_heads": 2, "img_size": [48, 64]})
    assert fixed.input_size == InputSize(size=(48, 64))
    assert fixed(torch.rand(1, 3, 100, 30)).shape[2:] == (3, 4)


def test_the_name_tells_the_convention() -> None:
    # Mean and deviation of both are in timm's table; the first is not ImageNet's.
    mean = made("vit_tiny_patch16_224.augreg_in21k_ft_in1k", arguments=VIT).normalize.mean.flatten()
    assert mean.tolist() == [0.5] * 3
    mean = made("resnet18.a1_in1k", arguments=NARROW).normalize.mean.flatten()
    torch.testing.assert_close(mean, torch.tensor([0.485, 0.456, 0.406]))


def test_a_teacher_of_features_takes_its_weights_from_pretrained(tmp_path: Path) -> None:
    source = timm.create_model("vit_small_patch14_dinov2", num_classes=7, **VIT)
    for parameter in source.parameters():
        parameter.data.normal_()
    file = tmp_path / "dinov2.safetensors"
    save_file(source.state_dict(), file)
    options = {"head": "none", "arguments": VIT}
    spec = ModelSpec(model="timm:vit_small_patch14_dinov2", options=options, pretrained=str(file))
    teacher: Any = build_teacher(spec, 3).model
    state = source.state_dict()
    assert "head.weight" in state
    assert all(torch.equal(value, state[key]) for key, value in teacher.backbone.state_dict().items())
    with pytest.raises(RecipeError, match=r"teacher\.checkpoint is missing"):
        build_teacher(spec.model_copy(update={"pretrained": None}), 3)
    with pytest.raises(RecipeError, match=r"teacher\.checkpoint is missing"):
        build_teacher(spec.model_copy(update={"options": {"head": "fpn", "arguments": VIT}}), 3)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet81", {}, r"timm:resnet81: no architecture of timm.*Nearest: .*resnet18"),
        ("hf-hub:timm/resnet18", {}, r"no architecture of timm; weights come through 'pretrained'"),
        ("resnet18", {"head": "ffn"}, r"unknown head 'ffn'\. Known: fcn, fpn, none, psp\."),
        ("resnet18", {"arguments": {"wdith": 3}}, r"timm:resnet18: .*'wdith'"),
        (
            "resnet18",
            {"arguments": {"checkpoint_path": "x.pth"}},
            r"'checkpoint_path' brings weights; write",
        ),
        ("levit_128s", {}, r"timm:levit_128s: four feature maps cannot be had"),
    ],
)
def test_what_cannot_be_built(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        made(name, **options)
