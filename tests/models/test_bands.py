"""Models of any number of bands: first convolutions of every library, weights of RGB, chosen bands."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from tiny_hf import SEMANTIC
from torch import nn

from densekd.builders.bands import band_input, fit_teacher
from densekd.builders.models import build_model
from densekd.data.picture import LUMA
from densekd.errors import RecipeError, UserError
from densekd.models import contract
from densekd.models.bands import BandInput, choose_bands, widened_filters
from densekd.models.named import build_named
from densekd.recipe import DataSpec, StudentSpec, TeacherSpec

# Those of ImageNet, so that normalized bands are what the family's own normalization gives.
MEAN = (123.675 / 255, 116.28 / 255, 103.53 / 255)
STD = (58.395 / 255, 57.12 / 255, 57.375 / 255)

MODELS: dict[str, dict[str, Any]] = {
    "fpn": {"backbone": "resnet18_025", "channels": 16},
    "segformer": {"backbone": "mit_b0", "channels": 16},
    "upernet": {"backbone": "swin_tiny", "channels": 16},
    "torchvision:lraspp_mobilenet_v3_large": {},
    "timm:resnet18": {"channels": 16},
    "timm:repvgg_a0": {"channels": 16},
    "timm:vit_tiny_patch16_224": {"channels": 16},
    "smp:unet/resnet18": {},
    "smp:fpn/mobileone_s0": {},
    "smp:dpt/tu-vit_tiny_patch16_224": {},
    "hf:segformer": {"config": SEMANTIC["segformer"]},
    "hf:upernet": {"config": SEMANTIC["upernet"]},
    "hf:dpt": {"config": SEMANTIC["dpt"]},
}


def built(name: str, options: dict[str, Any], bands: BandInput | None = None) -> nn.Module:
    torch.manual_seed(0)
    if bands is not None:
        options = {**options, "bands": bands.to_option()}
    return build_named(name, options, {"num_classes": 3, "weights": "none"}, name).model.eval()


def output(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(images)
    return found


@pytest.mark.parametrize("name", MODELS)
def test_a_gray_image_gives_one_band_what_its_copies_gave_three(name: str) -> None:
    gray = torch.rand(1, 1, 224, 224, generator=torch.Generator().manual_seed(1))
    colors = built(name, MODELS[name])
    # The same normalization of all three, so that the sum of the filters says the same.
    mean, std = 0.4, 0.25
    colors.normalize.mean.fill_(mean)
    colors.normalize.scale.fill_(1 / std)
    ratio = sum(contract.convention(colors).std) / sum(STD)  # type: ignore[union-attr]
    one = built(name, MODELS[name], BandInput(1, (1,), (mean,), (std / ratio,)))
    # In float64: sums of three channels round otherwise, by processor, than one channel's.
    found, expected = output(one.double(), gray.double()), output(colors.double(), gray.double().repeat(1, 3, 1, 1))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    assert contract.bands(one) == 1


@pytest.mark.parametrize("name", MODELS)
def test_models_of_every_library_take_four_bands_and_learn_of_each(name: str) -> None:
    model = built(name, MODELS[name], BandInput(4, (1, 2, 3, 4), (0.5,) * 4, (0.2,) * 4))
    images = torch.rand(1, 4, 224, 224, requires_grad=True)
    model(images).square().sum().backward()
    assert images.grad is not None
    assert (images.grad.abs().sum((0, 2, 3)) > 0).all()
    with pytest.raises(UserError, match="images of 4 bands; these have 3"):
        model(torch.rand(1, 3, 64, 64))


def test_filters_are_added_for_one_band_and_repeated_and_scaled_for_more() -> None:
    filters = torch.arange(6.0).view(2, 3, 1, 1)
    assert widened_filters(filters, 1, "rgb").flatten().tolist() == [3.0, 12.0]
    assert widened_filters(filters, 4, "rgb")[0].flatten().tolist() == [0.0, 0.75, 1.5, 0.0]
    assert widened_filters(filters, 2, "bgr")[0].flatten().tolist() == [3.0, 1.5]
    # timm's own rule.
    for count in (1, 4, 5):
        theirs = timm.models.adapt_input_conv(count, filters)
        assert torch.equal(widened_filters(filters, count, "rgb"), theirs)


@pytest.mark.parametrize("family", ["mmseg_b", "cirkd_vanilla"])
def test_pretrained_weights_of_three_channels_fill_a_backbone_of_four_bands(family: str, tmp_path: Path) -> None:
    pretrained = timm.create_model("resnet18", pretrained=False, num_classes=2)
    torch.save(pretrained.state_dict(), tmp_path / "resnet18.pth")
    spec = StudentSpec(
        model="pspnet", options={"backbone": "resnet18", "family": family}, pretrained=str(tmp_path / "resnet18.pth")
    )
    bands = BandInput(4, (1, 2, 3, 4), (0.5,) * 4, (0.2,) * 4)
    opened = build_model(spec, 3, "student", bands=bands)
    weight = contract.backbone(opened.model).conv1.weight  # type: ignore[union-attr,operator]
    order = contract.convention(built("pspnet", spec.options)).order  # type: ignore[union-attr]
    assert torch.equal(weight, widened_filters(pretrained.conv1.weight.detach(), 4, order))
    assert any("takes 4 bands" in note and "times 3/4" in note for note in opened.notes)
    # What is packaged builds the same model again.
    again = build_named("pspnet", opened.config.options, {"num_classes": 3}, "package").model
    again.load_state_dict(opened.model.state_dict())
    images = torch.rand(1, 4, 64, 64)
    assert torch.equal(output(again.eval(), images), output(opened.model.eval(), images))


def test_bands_spread_as_widely_as_the_weights_are_used_to() -> None:
    options = {"backbone": "resnet18", "family": "cirkd"}
    model = built("pspnet", options, BandInput(4, (1, 2, 3, 4), (0.5,) * 4, (0.2,) * 4))
    # Caffe's networks take 0 to 255, ImageNet's a deviation of one.
    mean_std = sum(STD) / 3
    assert model.normalize.scale.flatten().tolist() == pytest.approx([255 * mean_std / 0.2] * 4)


def test_three_chosen_bands_come_in_the_order_of_the_networks_colors() -> None:
    options = {"backbone": "resnet18", "family": "cirkd"}
    images = torch.rand(1, 4, 64, 64)
    own = built("pspnet", options)
    chosen = built("pspnet", options)
    assert choose_bands(chosen, 4, (4, 2, 1), "teacher")
    assert torch.equal(output(chosen, images), output(own, images[:, [3, 1, 0]]))
    assert not choose_bands(chosen, 4, (1, 2), "teacher")


def test_gray_is_the_brightness_of_the_first_three_bands() -> None:
    model = built("fpn", MODELS["fpn"], BandInput(4, "gray", (0.4,), (0.2,)))
    images = torch.rand(1, 4, 64, 64)
    brightness = (images[:, :3] * torch.tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    assert torch.allclose(model.normalize(images), (brightness - 0.4) / 0.2, atol=1e-6)


def test_a_network_without_convolution_of_the_image_says_what_to_do() -> None:
    with pytest.raises(RecipeError, match=r"no convolution of TimmSegmentor reads the image.*bands: \[1, 1, 1\]"):
        built("timm:tresnet_m", {"channels": 16}, BandInput(1, (1,), (0.5,), (0.2,)))


@pytest.mark.parametrize("value", [4, {"images": 2}, BandInput(2, (1, 3), (0.5, 0.5), (0.2, 0.2)).to_option()])
def test_wrong_bands_of_a_package_are_refused(value: Any) -> None:
    with pytest.raises(RecipeError, match="bands"):
        build_named("fpn", {**MODELS["fpn"], "bands": value}, {"num_classes": 3}, "package")


def data(**bands: Any) -> DataSpec:
    return DataSpec(dataset="folder", root="data", **bands)


def test_a_band_has_its_number_in_the_files_everywhere() -> None:
    four = data(bands=(4, 3, 2, 8), mean=(0.1, 0.2, 0.3, 0.4), std=(0.5, 0.6, 0.7, 0.8))
    found = band_input(four, StudentSpec(bands=(8, 3)), "student")
    assert found == BandInput(4, (4, 2), (0.4, 0.2), (0.8, 0.6))
    gray = band_input(four, StudentSpec(bands="gray"), "student")
    assert gray is not None
    assert gray.mean[0] == pytest.approx(0.299 * 0.1 + 0.587 * 0.2 + 0.114 * 0.3, abs=1e-6)
    with pytest.raises(RecipeError, match=r"student\.bands: band 1 is not read.*4, 3, 2, 8"):
        band_input(four, StudentSpec(bands=(1,)), "student")
    assert band_input(data(), StudentSpec(), "student") is None


def test_a_teacher_of_rgb_must_say_which_bands_it_sees() -> None:
    four = data(bands=4, mean=(0.1, 0.2, 0.3, 0.4), std=(0.5,) * 4)
    teacher = built("fpn", MODELS["fpn"])
    with pytest.raises(RecipeError, match=r"teacher\.bands: the teacher takes 3 channels.*bands: \[1, 2, 3\]"):
        fit_teacher(teacher, four, TeacherSpec())
    images = torch.rand(1, 4, 64, 64)
    before = output(teacher, images[:, :3])
    assert fit_teacher(teacher, four, TeacherSpec(bands=(1, 2, 3))) == ()
    assert torch.equal(output(teacher, images), before)


def test_a_teacher_of_rgb_sees_gray_three_times() -> None:
    one = data(bands=1, mean=(0.4,), std=(0.2,))
    teacher = built("fpn", MODELS["fpn"])
    with pytest.raises(RecipeError, match=r"bands: \[1, 1, 1\]"):
        fit_teacher(teacher, one, TeacherSpec())
    gray = torch.rand(1, 1, 64, 64)
    before = output(teacher, gray.repeat(1, 3, 1, 1))
    fit_teacher(teacher, one, TeacherSpec(bands=(1, 1, 1)))
    assert torch.equal(output(teacher, gray), before)
    assert contract.bands(teacher) == 1


def test_a_teacher_of_rgb_is_widened_where_the_recipe_chooses_more() -> None:
    four = data(bands=4, mean=(0.1, 0.2, 0.3, 0.4), std=(0.5,) * 4)
    teacher = built("fpn", MODELS["fpn"])
    (note,) = fit_teacher(teacher, four, TeacherSpec(bands=(1, 2, 3, 4)))
    assert "times 3/4" in note
    with pytest.raises(RecipeError, match="takes 4 bands, and 2 are chosen"):
        fit_teacher(teacher, four, TeacherSpec(bands=(1, 2)))
