"""Models by name: options of earlier versions, the input convention, and what is no model."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from densekd.errors import RecipeError
from densekd.models import MODELS, contract
from densekd.models.families import CAFFE_OPENMMLAB, IMAGENET, Convention
from densekd.models.named import build_named, current_options, read_convention

FPN: dict[str, Any] = {"backbone": "resnet18_025", "channels": 16}
MEAN = {"order": "bgr", "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.5]}


def no_model() -> nn.Module:
    return {}  # type: ignore[return-value]


class OwnInput(nn.Module):
    """A model of the user's with an option that is called like ours."""

    def __init__(self, num_classes: int, input: str = "x") -> None:
        super().__init__()
        self.input = input

    def forward(self, images: Tensor) -> Tensor:
        return images


def build(name: str = "fpn", **options: Any) -> nn.Module:
    torch.manual_seed(0)
    return build_named(name, options or FPN, {"num_classes": 3}, "student.options").model


def test_a_convention_by_name_and_by_numbers() -> None:
    assert contract.convention(build()) == IMAGENET
    assert contract.convention(build(**FPN, input="caffe")) == CAFFE_OPENMMLAB
    model = build(**FPN, input=MEAN).eval()
    assert contract.convention(model) == Convention("bgr", (0.4, 0.5, 0.6), (0.2, 0.25, 0.5))
    # The pixels that enter are those that the numbers say, and everything behind is the same.
    images = torch.rand(1, 3, 64, 64)
    plain: Any = build().eval()
    plain.normalize = nn.Identity()
    pixels = (images[:, [2, 1, 0]] - torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1)) / torch.tensor(
        [0.2, 0.25, 0.5]
    ).view(1, 3, 1, 1)
    with torch.no_grad():
        torch.testing.assert_close(model(images), plain(pixels), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["gfl", "timm:resnet18", "torchvision:lraspp_mobilenet_v3_large"])
def test_every_model_that_normalizes_takes_a_convention(name: str) -> None:
    options = {"backbone": "resnet18_025", "channels": 16} if name == "gfl" else {}
    assert contract.convention(build(name, **options, input="caffe")) == CAFFE_OPENMMLAB


def test_an_option_of_the_users_own_is_the_users() -> None:
    model: Any = build(f"{__name__}:OwnInput", input="mine")
    assert model.input == "mine"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("cafe", r"unknown input 'cafe'\. Did you mean 'caffe'\?"),
        ({**MEAN, "mean": [103.5, 116.3, 123.7]}, r"in units of \[0, 1\] \(divide by 255\)"),
        ({**MEAN, "std": [0, 1, 1]}, r"in units of \[0, 1\]"),
        ({**MEAN, "order": "gbr"}, "an order"),
        ({"mean": [0, 0, 0]}, "an order"),
        (3, "got 3"),
    ],
)
def test_what_is_no_convention(value: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=rf"student\.options: .*{message}"):
        build(**FPN, input=value)
    assert read_convention(IMAGENET, "") is IMAGENET


def test_a_model_without_normalization_takes_none() -> None:
    with pytest.raises(RecipeError, match="'input' is for models that normalize inside"):
        build("torch.nn:Conv2d", in_channels=3, out_channels=3, kernel_size=1, input="caffe")


@pytest.mark.parametrize("name", ["gfl", "retinanet", "faster_rcnn"])
def test_learns_is_translated_with_a_note(name: str) -> None:
    built = build_named(name, {**FPN, "learns": "finetune"}, {"num_classes": 2}, "student")
    assert built.options == {**FPN, "freeze": ["stem", "stage1"]}
    (note,) = built.notes
    assert "'learns: finetune' is called 'freeze: [stem, stage1]' now" in note
    frozen = {key.split(".")[1] for key, weight in built.model.named_parameters() if not weight.requires_grad}
    assert frozen == {"conv1", "bn1", "layer1"}
    assert current_options(name, {"learns": "all"})[0] == {}
    assert current_options("fpn", {"learns": "all"}) == ({"learns": "all"}, ())
    with pytest.raises(RecipeError, match="unknown option 'learns'"):
        build_named(name, {**FPN, "learns": "half"}, {"num_classes": 2}, "student")


def test_what_is_no_module() -> None:
    with pytest.raises(RecipeError, match=r":no_model built a dict, not an nn\.Module"):
        build_named(f"{__name__}:no_model", {}, {}, "teacher")


# CIRKD's and HWD's small models have the widths that they are known by.
FIXED = {"deeplabv3_mobile", "psp_mobile", "upernet_lite"}


@pytest.mark.parametrize("name", sorted(set(MODELS) - FIXED))
def test_widths_are_positive(name: str) -> None:
    with pytest.raises(RecipeError, match=r"options.channels: .*greater than 0.*, got 0"):
        build_named(name, {"channels": 0}, {"num_classes": 2, "weights": "none"}, "options")
