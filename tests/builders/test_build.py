"""From a recipe to live objects: what fits is built, what does not is said with the mend."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from densekd.builders.build import build
from densekd.builders.data import build_files
from densekd.builders.models import build_model, build_teacher
from densekd.builders.task import build_task
from densekd.builders.terms import plan_terms
from densekd.distill.terms import Term
from densekd.distill.wiring import ProbeBatch, wire_terms
from densekd.errors import RecipeError, UserError
from densekd.models.dilated import pspnet
from densekd.models.fpn import fpn
from densekd.models.package import PackageConfig, save_package
from densekd.recipe import parse_recipe


def built(content: dict[str, Any]) -> Any:
    return build(parse_recipe(content, "test"))


@pytest.fixture
def distilled(recipe: dict[str, Any]) -> dict[str, Any]:
    recipe["teacher"] = {"model": "fpn", "options": {"backbone": "resnet18_050"}, "checkpoint": "untrained"}
    recipe["distill"] = [{"method": "cwd", "weight": 3, "options": {"temperature": 4}}]
    return recipe


class SharedHead(nn.Module):
    """A model whose head runs once per level."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 4, 1)
        self.head = nn.Conv2d(8, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the finer level's logits."""
        x = self.stem(images)
        self.head(x[..., ::2, ::2])
        logits: Tensor = self.head(x)
        return logits


def test_terms_know_their_taps_and_options(distilled: dict[str, Any]) -> None:
    distilled["distill"].append(
        {
            "method": "pixel",
            "weight": {"value": 2, "warmup": 10},
            "student": "features.{2,3}",
            "teacher": "features.{2,3}",
        }
        | {"adapter": "conv"}
    )
    terms = built(distilled).distiller.terms
    assert list(terms) == ["cwd", "pixel-0", "pixel-1"]
    assert terms["cwd"].loss.temperature == 4
    assert terms["pixel-1"].taps == ("features.3", "features.3")
    assert terms["pixel-0"].adapter.weight.shape == (128, 64, 1, 1)
    assert terms["pixel-0"].weight(5) == 1.0
    assert terms["pixel-0"].loss.ignore_index == 255
    assert all(isinstance(term, Term) for term in terms.values())


def test_the_student_starts_equal_with_and_without_a_teacher(recipe: dict[str, Any], distilled: dict[str, Any]) -> None:
    with_teacher = built(distilled).distiller.student.state_dict()
    alone = built({k: v for k, v in recipe.items() if k not in ("teacher", "distill")}).distiller.student.state_dict()
    assert all(torch.equal(with_teacher[key], value) for key, value in alone.items())


def test_probing_leaves_no_trace(distilled: dict[str, Any]) -> None:
    distiller = built(distilled).distiller
    norm = distiller.student.get_submodule("backbone.bn1")
    assert norm.num_batches_tracked == 0
    assert distiller.student.training
    assert not any(m._forward_hooks for m in distiller.modules())


def test_untapped_auxiliary_head_of_a_teacher_is_removed(distilled: dict[str, Any]) -> None:
    distilled["teacher"] = {"model": "pspnet", "checkpoint": "untrained"}
    distilled["distill"][0]["resize_to"] = "teacher"
    assert built(distilled).distiller.teacher.model.auxiliary is None
    distilled["distill"][0] |= {"teacher": "aux"}
    assert built(distilled).distiller.teacher.model.auxiliary is not None


def test_a_teacher_package_is_enough(recipe: dict[str, Any], tmp_path: Path) -> None:
    teacher = pspnet(3, auxiliary_channels=0)
    config = PackageConfig("pspnet", {"auxiliary_channels": 0}, ["class0", "class1", "class2"], [[0, 0, 0]] * 3)
    save_package(teacher, config, tmp_path / "teacher")
    recipe["teacher"] = {"checkpoint": str(tmp_path / "teacher")}
    recipe["distill"] = [{"method": "cwd", "weight": 1, "resize_to": "teacher"}]
    loaded = built(recipe).distiller.teacher
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        expected = teacher.eval()(images)
    # Its batch norms are folded into its convolutions, which rounds differently.
    torch.testing.assert_close(loaded(images)["logits"], expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in loaded.modules())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "cdw"}, r"distill\.0: unknown loss 'cdw'\. Did you mean 'cwd'\?.*Your own: package\.module:Name"),
        (
            {"options": {"temprature": 2}},
            r"distill\.0\.options: unknown option 'temprature'\. Did you mean 'temperature'\?",
        ),
        ({"options": {"temperature": -1}}, r"distill\.0\.options\b.*temperature.* got -1"),
        (
            {"options": {"temperature": "4"}},
            r"^distill\.0\.options\.temperature: a number.*, got '4'\.$",
        ),
        ({"method": "pixel", "options": {"ignore_index": 3}}, r"'ignore_index' is measured from the models and data"),
        (
            {"method": "cirkd_channel", "options": {"teacher_size": [4, 4]}},
            r"distill\.0\.options: 'teacher_size' is measured",
        ),
        ({"student": "logit"}, r"Tap 'logit'.*Did you mean 'logits'\?.*Modules in 'the model': .*backbone.*head"),
        ({"student": "head.classifer"}, r"no module 'head.classifer'.*Modules in 'head': .*classifier"),
        (
            {"student": "features.3", "teacher": "features.3"},
            r"student's features\.3 is \[1, 128, 1, 1\], the teacher's features\.3 is \[1, 256, 1, 1\]\. "
            r"Fix it with 'adapter: conv' \(a 1x1 convolution 128 -> 256\)",
        ),
        ({"student": "features.2", "teacher": "features.0"}, r"'resize_to: teacher'"),
        ({"method": "nowhere.at_all:Loss"}, r"loss 'nowhere\.at_all:Loss' cannot be imported"),
        ({"method": "math:pi"}, r"'math:pi' is Python's own, and nothing there is a loss"),
    ],
)
def test_what_does_not_fit_is_said(distilled: dict[str, Any], change: dict[str, Any], message: str) -> None:
    distilled["distill"][0] = {"method": "cwd", "weight": 1, **change}
    with pytest.raises(RecipeError, match=f"(?s){message}"):
        built(distilled)


def built_terms(content: dict[str, Any]) -> tuple[dict[str, Term], Any]:
    recipe = parse_recipe(content, "test")
    files = build_files(recipe.data, "train")
    student = build_model(recipe.student, len(files.classes.names), "student").model
    teacher = build_teacher(recipe.teacher, len(files.classes.names)).model
    target = build_task(recipe, files).probe_target(recipe.probe_size, "present")
    facts = {"num_classes": len(files.classes.names), "ignore_index": files.classes.ignore_index}
    probe = ProbeBatch(torch.rand(1, 3, *recipe.probe_size), target, facts)
    return wire_terms(plan_terms(recipe), student, teacher, probe), teacher


class Counting(nn.Module):
    """A loss on tuples that knows the channels of its levels."""

    def __init__(self, student_channels: tuple[int, ...], teacher_channels: tuple[int, ...]) -> None:
        super().__init__()
        self.channels = student_channels, teacher_channels

    def forward(self, student: tuple[Tensor, ...], teacher: tuple[Tensor, ...], target: Tensor) -> Tensor:
        """Return the mean squared error over the levels."""
        return torch.stack([(s - t).square().mean() for s, t in zip(student, teacher, strict=True)]).mean()


def test_a_list_of_taps_is_one_term_with_an_adapter_each(distilled: dict[str, Any]) -> None:
    term = {"method": f"{__name__}:Counting", "weight": 1, "student": ["features.2", "features.3"]}
    distilled["distill"] = [term | {"teacher": ["features.2", "features.3"], "adapter": "conv"}]
    terms, _ = built_terms(distilled)
    assert list(terms) == ["Counting"]
    built_term = terms["Counting"]
    assert built_term.taps == (("features.2", "features.3"), ("features.2", "features.3"))
    assert [tuple(w.shape) for w in built_term.parameters()] == [(128, 64, 1, 1), (256, 128, 1, 1)]
    assert built_term.loss.channels == ((128, 256), (128, 256))


def test_a_list_of_taps_without_adapters(distilled: dict[str, Any]) -> None:
    distilled["teacher"] = {"model": "pspnet", "checkpoint": "untrained"}
    term = {"method": "densekd.losses.dsd:PSD", "weight": 1, "student": ["features.3", "pre_logits", "logits"]}
    distilled["distill"] = [term | {"teacher": ["aux", "pre_logits", "logits"], "resize_to": "label"}]
    terms, teacher = built_terms(distilled)
    assert not list(terms["PSD"].parameters())
    assert teacher.auxiliary is not None


def test_levels_that_do_not_fit_are_all_shown(distilled: dict[str, Any]) -> None:
    term = {"method": f"{__name__}:Counting", "weight": 1, "student": ["features.3", "logits"]}
    distilled["distill"] = [term | {"teacher": ["features.3", "features.3"]}]
    with pytest.raises(
        RecipeError,
        match=r"the student's features\.3 is \[1, 128, 1, 1\], the teacher's features\.3 is \[1, 256, 1, 1\]; "
        r"the student's logits is \[1, 3, 8, 8\], the teacher's features\.3 is \[1, 256, 1, 1\]\. Fix it with "
        r"'adapter: conv' \(a 1x1 convolution 128 -> 256, 3 -> 256\) and 'resize_to: teacher'\.",
    ):
        built(distilled)


class Sized(nn.Module):
    """A loss that knows the size of the teacher's maps, and checks that it is told the truth."""

    def __init__(self, teacher_size: Any) -> None:
        super().__init__()
        self.size = teacher_size

    def forward(self, student: Any, teacher: Any, target: Tensor) -> Tensor:
        """Return zero."""
        single = isinstance(teacher, Tensor)
        assert self.size == (tuple(teacher.shape[2:]) if single else tuple(tuple(x.shape[2:]) for x in teacher))
        return torch.zeros(())


@pytest.mark.parametrize(
    ("resize", "size"), [("none", (4, 4)), ("teacher", (4, 4)), ("student", (8, 8)), ("label", (32, 32))]
)
def test_the_teachers_size_is_that_of_the_tensor_that_a_loss_receives(
    distilled: dict[str, Any], resize: str, size: tuple[int, int]
) -> None:
    distilled["teacher"] = {"model": "pspnet", "checkpoint": "untrained"}
    distilled["distill"] = [{"method": f"{__name__}:Sized", "weight": 1, "resize_to": resize}]
    terms, _ = built_terms(distilled)
    assert terms["Sized"].loss.size == size


def test_the_teachers_size_level_by_level(distilled: dict[str, Any]) -> None:
    levels = ["features.1", "logits"]
    distilled["distill"] = [{"method": f"{__name__}:Sized", "weight": 1, "student": levels, "teacher": levels}]
    assert built_terms(distilled)[0]["Sized"].loss.size == ((4, 4), (8, 8))


def test_a_tap_that_fires_several_times_lists_the_calls(distilled: dict[str, Any]) -> None:
    distilled["student"] = {"model": f"{__name__}:SharedHead"}
    distilled["distill"][0]["student"] = "head"
    with pytest.raises(RecipeError, match="fired 2 times in one forward pass; choose one of head@0, head@1"):
        built(distilled)
    distilled["distill"][0]["student"] = "head@1"
    assert built(distilled).distiller.terms["cwd"].taps.student == "head@1"


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("model", "pspnett", r"student\.model: unknown model 'pspnett'\. Did you mean 'pspnet'\?"),
        ("options", {"backbone": "resnet19"}, r"Unknown backbone 'resnet19'\. Did you mean 'resnet18'\?"),
        ("options", {"backbone": 1}, r"^student\.options\.backbone: a string, got 1\.$"),
        (
            "options",
            {"channels": 12.5},
            r"options\.channels: an integer greater than 0 and of at most 8192, got 12\.5\.$",
        ),
        ("options", {"num_classes": 4}, r"student\.options: 'num_classes' is measured"),
        ("checkpoint", "no.pth", r"no\.pth: no such file or folder"),
        ("pretrained", "no_such_net", r"pretrained: no_such_net is no local file and could not be had"),
    ],
)
def test_wrong_student(recipe: dict[str, Any], place: str, value: Any, message: str) -> None:
    recipe["student"][place] = value
    with pytest.raises(UserError, match=message):
        built(recipe)


def test_teacher_with_another_class_count_shows_the_shapes(distilled: dict[str, Any], tmp_path: Path) -> None:
    torch.save(pspnet(19).state_dict(), tmp_path / "nineteen.pth")
    distilled["teacher"] = {"model": "pspnet", "checkpoint": str(tmp_path / "nineteen.pth")}
    with pytest.raises(UserError, match=r"head\.classifier\.weight \(file \[19, 128, 1, 1\], model \[3, 128, 1, 1\]\)"):
        built(distilled)


def test_custom_dataset_must_return_files(recipe: dict[str, Any]) -> None:
    recipe["data"]["dataset"] = "builtins:max"
    recipe["data"]["root"] = "x"
    with pytest.raises(RecipeError, match=r"'builtins:max' is Python's own, and nothing there is a dataset"):
        build_files(parse_recipe(recipe, "test").data, "train")
    recipe["data"]["dataset"] = "densekd.data.files:find"
    with pytest.raises(RecipeError, match=r"'densekd\.data\.files:find' was not called: it has to be a function that"):
        build_files(parse_recipe(recipe, "test").data, "train")


def test_class_weights(recipe: dict[str, Any]) -> None:
    recipe["task"] = {"class_weights": [1, 2, 3]}
    assert built(recipe).distiller.task.class_weights.tolist() == [1, 2, 3]
    recipe["task"] = {"class_weights": [1, 2]}
    with pytest.raises(RecipeError, match="2 values for 3 classes"):
        built(recipe)
    recipe["task"] = {"class_weights": "balanced"}
    weights = built(recipe).distiller.task.class_weights
    assert weights.mean() == pytest.approx(1)
    # The background covers most of every picture, so it weighs least.
    assert weights.argmin() == 0


def test_a_teacher_of_other_classes_may_teach_features(recipe: dict[str, Any], tmp_path: Path) -> None:
    config = PackageConfig("pspnet", {"auxiliary_channels": 0}, list("abcde"), [[0, 0, 0]] * 5)
    save_package(pspnet(5, auxiliary_channels=0), config, tmp_path / "teacher")
    recipe["teacher"] = {"checkpoint": str(tmp_path / "teacher")}
    features = {"student": "features.3", "teacher": "features.3", "adapter": "conv", "resize_to": "teacher"}
    recipe["distill"] = [{"method": "cwd", "weight": 1, **features}]
    assert built(recipe).scored_teacher is None
    recipe["distill"] = [{"method": "cwd", "weight": 1, "resize_to": "teacher"}]
    with pytest.raises(RecipeError, match=r"logits is \[1, 3, 8, 8\], the teacher's logits is \[1, 5, 4, 4\]"):
        built(recipe)


def test_the_student_begins_with_parts_of_the_teacher(distilled: dict[str, Any], tmp_path: Path) -> None:
    distilled["student"]["inherit"] = ["head"]
    options = distilled["teacher"]["options"] = distilled["student"]["options"]
    torch.manual_seed(7)
    teacher = fpn(3, **options)
    torch.save(teacher.state_dict(), tmp_path / "teacher.pth")
    distilled["teacher"]["checkpoint"] = str(tmp_path / "teacher.pth")
    student = built(distilled).distiller.student.state_dict()
    distilled["student"]["inherit"] = []
    plain = built(distilled).distiller.student.state_dict()
    for key, value in teacher.state_dict().items():
        assert torch.equal(student[key], value if key.startswith("head.") else plain[key]), key
    assert not torch.equal(plain["head.classifier.weight"], student["head.classifier.weight"])


@pytest.mark.parametrize(
    ("inherit", "message"),
    [
        (["neck"], r"student\.inherit: the teacher has no part 'neck'\. It has normalize, backbone, head"),
        (
            ["head"],
            r"student\.inherit: the teacher's 'head' does not fit the student's; nothing was loaded\.",
        ),
    ],
)
def test_parts_that_cannot_be_inherited(distilled: dict[str, Any], inherit: list[str], message: str) -> None:
    distilled["student"]["inherit"] = inherit
    with pytest.raises(RecipeError, match=message):
        built(distilled)


def test_inheriting_from_nobody(recipe: dict[str, Any]) -> None:
    recipe["student"]["inherit"] = ["head"]
    with pytest.raises(RecipeError, match=r"student\.inherit needs a teacher"):
        built(recipe)
