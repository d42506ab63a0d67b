"""CIRKD's and HWD's models by name: as many parameters as theirs, and the widths of their heads."""

from typing import Any

import pytest
import torch
from torch import nn

from densekd.models import MODELS
from densekd.models.blocks import last_channels

# Millions of parameters for 19 classes, counted in the originals' code, without auxiliary logits where they have none.
PARAMETERS: list[tuple[str, dict[str, Any], float]] = [
    ("psp_mobile", {"backbone": "mobilenetv2_100"}, 2.65),
    ("psp_mobile", {"backbone": "mobilenetv3_small_100"}, 2.59),
    ("psp_mobile", {"backbone": "mobilevit_xxs"}, 1.79),
    ("deeplabv3_mobile", {"backbone": "mobilenetv2_100"}, 3.23),
    ("deeplabv3_mobile", {"backbone": "mobilenetv3_small_100"}, 3.30),
    ("deeplabv3_mobile", {"backbone": "mobilenetv3_large_100"}, 6.77),
    ("deeplabv3_mobile", {"backbone": "mobilevit_xxs"}, 2.37),
    ("upernet_lite", {}, 16.57),
    ("deeplabv3", {"backbone": "resnet18", "family": "hwd"}, 13.61),
    ("deeplabv3", {"backbone": "resnet50", "family": "hwd"}, 42.13),
    ("deeplabv3", {"backbone": "resnet101", "family": "hwd"}, 61.12),
    ("deeplabv3", {"backbone": "resnet18", "family": "cirkdv2"}, 22.76),
    ("deeplabv3", {"backbone": "resnet101", "family": "cirkdv2"}, 79.08),
    ("pspnet", {"backbone": "resnet18", "family": "hwd"}, 12.92),
    ("pspnet", {"backbone": "resnet101", "family": "hwd"}, 68.07),
]


@pytest.mark.parametrize(("name", "options", "millions"), PARAMETERS, ids=lambda value: str(value))
def test_parameters_are_as_many_as_in_the_originals(name: str, options: dict[str, Any], millions: float) -> None:
    with torch.device("meta"):
        model = MODELS[name](19, **options)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.006)


@pytest.mark.parametrize(
    ("backbone", "family", "width"),
    [
        ("resnet18", "cirkd", 128),
        ("resnet18", "hwd", 128),
        ("resnet50", "cirkd", 512),
        ("resnet50", "hwd", 256),
        ("mobilenetv2_100", "cirkd", 80),
        ("mobilenetv2_100", "hwd", 128),
        ("resnet18", "cirkdv2", 512),
        ("resnet50", "cirkdv2", 512),
    ],
)
def test_width_of_deeplabv3(backbone: str, family: str, width: int) -> None:
    with torch.device("meta"):
        model = MODELS["deeplabv3"](19, backbone=backbone, family=family)
        explicit = MODELS["deeplabv3"](19, backbone=backbone, family=family, channels=24)
    assert model.head.classifier.in_channels == width
    assert last_channels(model.head.classifier) == 19
    assert explicit.head.classifier.in_channels == 24


@pytest.mark.parametrize("family", ["cirkd", "hwd", "cirkdv2"])
def test_these_models_drop_elements(family: str) -> None:
    """As ``nn.Dropout(0.1)`` in ``models/*.py`` of CIRKD and HWD; OpenMMLab and TorchDistiller drop channels."""
    with torch.device("meta"):
        models = {name: MODELS[name](19, family=family) for name in ("deeplabv3", "pspnet", "psp_mobile")}
        lite = MODELS["upernet_lite"](19, family=family)
        others = MODELS["pspnet"](19, family="mmseg"), MODELS["pspnet"](19, family="torchdistiller")
    for model in models.values():
        assert type(model.head.dropout) is nn.Dropout
        assert model.head.dropout.p == 0.1
    assert type(models["pspnet"].auxiliary.dropout) is nn.Dropout
    # CIRKD's UPerNet has a dropout in its auxiliary head alone.
    assert type(lite.head.dropout) is nn.Identity
    assert type(lite.auxiliary.dropout) is nn.Dropout
    for model in others:
        assert type(model.head.dropout) is nn.Dropout2d
        assert type(model.auxiliary.dropout) is nn.Dropout2d
