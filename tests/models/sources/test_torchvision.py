"""Models of torchvision: its own numbers and keys, its stages as taps."""

from typing import Any

import pytest
import torch
import torchvision

from densekd.distill.probe import probe
from densekd.errors import RecipeError
from densekd.models import find_model
from densekd.tasks.common import upsample


def made(name: str, **options: Any) -> Any:
    return find_model(f"torchvision:{name}")(num_classes=3, **options).eval()


@pytest.mark.parametrize(
    ("name", "auxiliary"),
    [
        ("lraspp_mobilenet_v3_large", "none"),
        ("deeplabv3_mobilenet_v3_large", "none"),
        ("deeplabv3_mobilenet_v3_large", "fcn"),
        ("fcn_resnet50", "fcn"),
    ],
)
@torch.no_grad()
def test_enlarged_logits_are_torchvisions(name: str, auxiliary: str) -> None:
    model = made(name, auxiliary=auxiliary)
    options = {"aux_loss": True} if auxiliary == "fcn" else {}
    theirs = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=3, **options).eval()
    theirs.load_state_dict(model.state_dict())  # strict: the keys are torchvision's
    images = torch.rand(2, 3, 64, 96)
    expected = theirs(model.normalize(images))
    torch.testing.assert_close(upsample(model, model(images), (64, 96)), expected["out"])
    assert ("aux" in model.taps) == (auxiliary == "fcn")
    if auxiliary == "fcn":
        aux = probe(model, ["aux"], images)["aux"]
        torch.testing.assert_close(upsample(model, aux, (64, 96)), expected["aux"])


@pytest.mark.parametrize(
    ("name", "maps"),
    [
        ("lraspp_mobilenet_v3_large", [(4, 24), (8, 40), (16, 112), (16, 960)]),
        ("deeplabv3_mobilenet_v3_large", [(4, 24), (8, 40), (16, 112), (16, 960)]),
        ("fcn_resnet50", [(4, 256), (8, 512), (8, 1024), (8, 2048)]),
    ],
)
def test_stages(name: str, maps: list[tuple[int, int]]) -> None:
    model = made(name)
    taken = probe(model, list(model.taps), torch.rand(1, 3, 64, 64))
    found = [taken[f"features.{i}"] for i in range(4)]
    assert [(64 // x.shape[-1], x.shape[1]) for x in found] == maps
    if not name.startswith("lraspp"):
        torch.testing.assert_close(model.classifier[-1](taken["pre_logits"]), taken["logits"])


def test_the_auxiliary_head_stays_behind() -> None:
    model = made("deeplabv3_mobilenet_v3_large", auxiliary="fcn")
    model.auxiliary = None
    name, options = model.packaged
    rebuilt = find_model(name)(num_classes=3, **options)
    assert rebuilt.state_dict().keys() == model.state_dict().keys()
    assert not any("aux" in key for key in model.state_dict())


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("fcn_resnet5", {}, r"no segmentation model of torchvision\. Did you mean 'fcn_resnet50'\?"),
        ("resnet18", {}, r"no segmentation model of torchvision"),
        ("fcn_resnet50", {"auxiliary": "fnc"}, r"there is no auxiliary head 'fnc' here"),
        ("lraspp_mobilenet_v3_large", {"auxiliary": "fcn"}, r"there is no auxiliary head 'fcn' here"),
    ],
)
def test_what_cannot_be_built(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        made(name, **options)
