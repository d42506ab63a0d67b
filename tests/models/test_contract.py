"""The contract of models: every one of ours keeps all of it, and a bare module gets the defaults."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from densekd.errors import UserError
from densekd.models import MODELS, contract, find_model
from densekd.models.contract import DenseModel, Detector
from densekd.models.families import CAFFE, IMAGENET
from densekd.models.mapped import RemapClasses

DETECTORS = ("faster_rcnn", "gfl", "retinanet")
# Models that CIRKD and HWD train by these names take BGR images without their mean.
CIRKD = ("deeplabv3_mobile", "psp_mobile", "upernet_lite")
SOURCES = {
    "timm:resnet18": {"channels": 16},
    "smp:unet/resnet18": {},
    "smp:dpt/tu-vit_tiny_patch16_224": {},
    "torchvision:lraspp_mobilenet_v3_large": {},
    "torchvision:fcn_resnet50": {"auxiliary": "fcn"},
    "hf:segformer": {"config": {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 8, 16, 16]}},
}


class Bare(nn.Module):
    """The least that a model can be."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.conv(images)
        return logits


class Finds(Bare):
    """The least that a detector can be."""

    def losses(self, output: Any, target: Any) -> dict[str, Tensor]:
        return {}

    def detect(self, output: Any, sizes: Tensor) -> list[Any]:
        return []


@pytest.mark.parametrize("name", MODELS)
def test_our_models_keep_the_whole_contract(name: str) -> None:
    with torch.device("meta"):
        model = MODELS[name](7)
    assert isinstance(model, Detector if name in DETECTORS else DenseModel)
    assert contract.is_detector(model) == (name in DETECTORS)
    assert contract.task_of(model) == ("detection" if name in DETECTORS else "segmentation")
    assert contract.num_classes(model) == 7
    assert contract.convention(model) == (CAFFE if name in CIRKD else IMAGENET)
    assert contract.backbone(model) is model.backbone
    assert contract.taps(model)["features.3"] == "backbone[3]"


@pytest.mark.parametrize("name", SOURCES)
def test_models_of_other_libraries_keep_it_too(name: str) -> None:
    model = find_model(name)(num_classes=7, **SOURCES[name])
    assert isinstance(model, DenseModel)
    assert contract.num_classes(model) == 7
    assert contract.convention(model) is not None
    assert model.eval()(torch.rand(1, 3, 224, 224)).shape[1] == 7


def test_a_model_without_head_has_no_classes() -> None:
    model = find_model("timm:resnet18")(num_classes=7, head="none")
    assert isinstance(model, DenseModel)
    assert contract.num_classes(model) is None


def test_a_bare_module_gets_the_defaults() -> None:
    model = Bare()
    assert not isinstance(model, DenseModel)
    assert contract.taps(model) == {}
    assert contract.align_corners(model) is False
    assert contract.num_classes(model) is None
    assert contract.convention(model) is None
    assert contract.backbone(model) is None
    assert contract.packaged(model) is None
    assert contract.notes(model) == contract.class_names(model) == ()
    assert contract.task_of(model) == "segmentation"
    contract.drop_auxiliary(model)
    assert not hasattr(model, "auxiliary")


def test_a_model_may_say_what_it_predicts() -> None:
    model = Bare()
    model.predicts = "my_package.my_module:Normals"
    assert contract.task_of(model) == "my_package.my_module:Normals"


def test_a_bare_detector_is_enough_for_detection() -> None:
    assert contract.as_detector(Finds()).detect(None, torch.zeros(1, 2)) == []
    with pytest.raises(UserError, match=r"Bare is no detector: detection needs losses\(output, target\) and detect"):
        contract.as_detector(Bare())


def test_conventions_are_those_of_the_family() -> None:
    assert contract.convention(MODELS["pspnet"](2, family="cirkd")) == CAFFE


def test_a_remapped_model_hands_on_what_its_model_offers() -> None:
    inner = MODELS["pspnet"](2, backbone="resnet18_025", family="cirkd")
    model = RemapClasses(inner, [[1], [0], [0, 1]])
    assert isinstance(model, DenseModel)
    assert (contract.num_classes(model), contract.align_corners(model)) == (3, True)
    assert contract.convention(model) == CAFFE
    assert contract.has_auxiliary(model)
    contract.drop_auxiliary(model)
    assert inner.auxiliary is None
