"""Frozen parts of every backbone: by role, without gradient, with fixed statistics, and the rest learns."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from densekd.errors import RecipeError
from densekd.models import MODELS
from densekd.models.backbones import BACKBONES, make_backbone
from densekd.models.families import FAMILIES
from densekd.models.fpn import fpn
from densekd.models.freeze import ROLES, freeze, parts_by_role
from densekd.models.mit import MITS, MixTransformer
from densekd.models.swin import SWINS, Swin

# The largest ones have the structure of their smaller sisters; on the device "meta" they cost nothing.
EVERY = (*BACKBONES, *MITS, *SWINS)
TRAINED = ("resnet18_025", "mobilenetv2_100", "mobilenetv3_small_050", "mobilevit_xxs", "mit_b0", "swin_tiny")


def body(name: str) -> nn.Module:
    if name in MITS:
        return MixTransformer(name, 1e-5)
    if name in SWINS:
        return Swin(name)
    return make_backbone(name, FAMILIES["mmseg_b"], 32).module


@pytest.mark.parametrize("name", EVERY)
def test_roles_share_out_every_parameter_of_every_backbone(name: str) -> None:
    with torch.device("meta"):
        backbone = body(name)
    parts = parts_by_role(backbone)
    assert tuple(parts) == ROLES
    owned = {role: [p for module in modules for p in module.parameters()] for role, modules in parts.items()}
    for role in ROLES:
        assert owned[role], role
    together = [id(p) for parameters in owned.values() for p in parameters]
    assert len(together) == len(set(together))
    assert set(together) == {id(p) for p in backbone.parameters()}


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("role", ROLES)
def test_a_role_freezes_its_tensors_and_no_others(name: str, role: Any) -> None:
    with torch.device("meta"):
        backbone = body(name)
    freeze(backbone, [role])
    frozen = {id(p) for p in backbone.parameters() if not p.requires_grad}
    assert frozen == {id(p) for module in parts_by_role(backbone)[role] for p in module.parameters()}


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "mobilenetv2_100", "mobilenetv3_small_100", "mobilevit_s"])
def test_a_stage_makes_its_map(name: str) -> None:
    """What does not belong to the first k stages has no influence on the k-th map."""
    torch.manual_seed(0)
    backbone = body(name).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = backbone(images)
        for k in range(4, 0, -1):
            for module in parts_by_role(backbone)[ROLES[k]]:
                for parameter in module.parameters():
                    parameter.add_(0.1)
            after = backbone(images)
            for finer in range(k - 1):
                assert torch.equal(after[finer], before[finer])
            assert not torch.equal(after[k - 1], before[k - 1])


def statistics(module: nn.Module) -> list[Tensor]:
    return [buffer.clone() for buffer in module.buffers()]


def train_once(model: nn.Module) -> None:
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1)
    model.train()
    model(torch.rand(2, 3, 64, 96)).square().mean().backward()
    optimizer.step()


def segmentation_model(name: str, roles: Any) -> nn.Module:
    torch.manual_seed(0)
    if name in MITS:
        return MODELS["segformer"](3, backbone=name, channels=16, freeze=roles)
    if name in SWINS:
        return MODELS["upernet"](3, backbone=name, channels=16, auxiliary_channels=0, freeze=roles)
    return fpn(3, backbone=name, channels=16, freeze=roles)


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("roles", [("stem",), ("stem", "stage1"), ("stage4",), ROLES])
def test_a_training_step_leaves_frozen_parts_as_they_are(name: str, roles: Any) -> None:
    model: Any = segmentation_model(name, roles)
    parts = parts_by_role(model.backbone)
    inside = [module for role in roles for module in parts[role]]
    outside = [module for role in ROLES if role not in roles for module in parts[role]]
    weights = [p.clone() for module in inside for p in module.parameters()]
    kept = [statistics(module) for module in inside]
    train_once(model)
    after = [p for module in inside for p in module.parameters()]
    assert all(p.grad is None for p in after)
    assert all(torch.equal(a, b) for a, b in zip(weights, after, strict=True))
    for before, module in zip(kept, inside, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(before, module.buffers(), strict=True))
        assert not any(part.training for part in module.modules())
    # The rest learns: every parameter has a gradient, and batch norms count on.
    assert all(p.grad is not None for module in outside for p in module.parameters())
    norms = [m for module in outside for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(norm.num_batches_tracked == 1 for norm in norms)
    assert model.head.classifier.weight.grad is not None


def test_evaluation_mode_and_back() -> None:
    model = fpn(3, "resnet18_025", 16, freeze=("stem",)).eval().train()
    assert not model.backbone.get_submodule("bn1").training
    assert model.backbone.get_submodule("layer1").training
    assert model.head.training


@pytest.mark.parametrize("name", ["gfl", "retinanet", "faster_rcnn"])
def test_a_detector_keeps_all_statistics_of_its_backbone(name: str) -> None:
    options = {"backbone": "mobilenetv3_small_050", "channels": 16, "freeze": ("stem", "stage1")}
    model: Any = MODELS[name](2, **options).train()
    frozen = {id(p) for p in model.parameters() if not p.requires_grad}
    parts = parts_by_role(model.backbone)
    assert frozen == {id(p) for role in ("stem", "stage1") for m in parts[role] for p in m.parameters()}
    assert not any(m.training for m in model.backbone.modules() if isinstance(m, nn.BatchNorm2d))
    assert model.head.training


def test_what_cannot_be_frozen() -> None:
    with pytest.raises(RecipeError, match=r"no part of a backbone is called 'stage5'.*Known: .*stage4, stem"):
        fpn(3, "resnet18_025", 16, freeze=("stage5",))  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match=r"the roles \(stem, stage1, .*\) of a Sequential cannot be told"):
        freeze(nn.Sequential(nn.Conv2d(3, 4, 1)), ["stem"])
