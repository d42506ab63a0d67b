"""Files that are no dense model, and what is said of them."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from densekd.errors import UserError
from densekd.models import MODELS
from densekd.models.checkpoints.unusable import describe_unusable
from densekd.models.open import open_model


def state(*keys: str) -> dict[str, Tensor]:
    return {key: torch.zeros(1) for key in keys}


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        (["fc.weight", "layer1.0.conv1.weight"], "a ResNet"),
        (["backbone.layer1.0.conv1.weight", "head.fc.weight"], "a ResNet"),
        (["block1.0.attn.q.weight", "head.weight"], "a mix transformer"),
        (["layers.0.1.0.attn.attn.in_proj_weight"], "a mix transformer"),
        (["layers.0.blocks.0.attn.relative_position_bias_table"], "a Swin transformer"),
        (["stages.0.blocks.0.attn.w_msa.relative_position_bias_table"], "a Swin transformer"),
        (["backbone.layers.2.1.local_rep.1.conv.weight"], "a MobileViT"),
        (["layer1.depthwise_conv.conv.weight"], "a MobileNetV3"),
        (["features.1.conv.0.0.weight", "classifier.1.weight"], "a MobileNetV2"),
    ],
)
def test_backbones_alone_belong_under_pretrained(keys: list[str], kind: str, tmp_path: Path) -> None:
    torch.save(state(*keys), tmp_path / "a.pth")
    with pytest.raises(UserError, match=rf"a\.pth: holds {kind} .* a recipe names it under 'pretrained'"):
        open_model(tmp_path / "a.pth")


def test_a_discriminator_predicts_nothing(tmp_path: Path) -> None:
    torch.save(state("l1.0.module.weight_bar", "attn1.gamma", "last.0.weight"), tmp_path / "D.pth")
    with pytest.raises(UserError, match="holds the discriminator of a holistic distillation"):
        open_model(tmp_path / "D.pth")


def test_our_own_bare_weights_are_no_backbone() -> None:
    assert describe_unusable(MODELS["fpn"](3, backbone="resnet18_025").state_dict()) is None
    assert describe_unusable(state("cls_token", "blocks.0.attn.qkv.weight")) is None
