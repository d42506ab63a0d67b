"""Teachers of other classes: identity, permutation and merging against literal computations, and through a recipe."""

from pathlib import Path
from typing import Any

import pytest
import torch

from densekd.builders.build import build
from densekd.builders.teacher_classes import map_classes
from densekd.data.classes import published_classes
from densekd.data.maps import as_batch
from densekd.data.sampler import Draw
from densekd.distill.misfit import Meeting, describe_misfit
from densekd.distill.taps import Taps
from densekd.errors import RecipeError
from densekd.models.classes import unnamed_classes
from densekd.models.detection.gfl import gfl
from densekd.models.fpn import fpn
from densekd.models.mapped import ClassMerge, RemapClasses
from densekd.models.open import Opened
from densekd.models.package import PackageConfig, save_package
from densekd.recipe import parse_recipe

OPTIONS = {"backbone": "resnet18_025", "channels": 16}
LOGITS = torch.randn(2, 5, 4, 6, generator=torch.Generator().manual_seed(0))


def test_identity_changes_nothing() -> None:
    assert torch.equal(ClassMerge([[k] for k in range(5)])(LOGITS), LOGITS)


def test_probabilities_of_merged_classes_add_up() -> None:
    merged = ClassMerge([[4], [0, 2, 3], [1]])(LOGITS).softmax(1)
    p = LOGITS.softmax(1)
    torch.testing.assert_close(merged, torch.stack([p[:, 4], p[:, 0] + p[:, 2] + p[:, 3], p[:, 1]], 1))


def test_a_class_may_be_left_out() -> None:
    p = LOGITS.softmax(1)[:, [3, 0]]
    torch.testing.assert_close(ClassMerge([[3], [0]])(LOGITS).softmax(1), p / p.sum(1, keepdim=True))


def test_taps_are_the_models_own_but_for_the_logits() -> None:
    model = fpn(5, **OPTIONS).eval()
    mapped = RemapClasses(model, [[1], [0, 2]])
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        output, read = Taps(mapped, ["logits", "features.1", "pre_logits"])(images)
        _, plain = Taps(model, ["logits", "features.1", "pre_logits"])(images)
    assert torch.equal(output, read["logits"])
    assert torch.equal(read["features.1"], plain["features.1"])
    assert torch.equal(read["pre_logits"], plain["pre_logits"])
    assert torch.equal(read["logits"], mapped.merge(plain["logits"]))
    assert mapped.align_corners is model.align_corners


def teacher(folder: Path, order: list[int], names: list[str]) -> Path:
    """Save a teacher whose class k is class ``order[k]`` of one and the same network."""
    torch.manual_seed(3)
    model = fpn(len(order), **OPTIONS)
    for parameter in (model.head.classifier.weight, model.head.classifier.bias):
        parameter.data = parameter.data[order]
    save_package(model, PackageConfig("fpn", OPTIONS, names, [[0, 0, 0]] * len(names)), folder)
    return folder


def loss_and_score(recipe: dict[str, Any], checkpoint: Path, classes: dict[str, Any] | None) -> tuple[float, float]:
    recipe["teacher"] = {"checkpoint": str(checkpoint), "classes": classes}
    recipe["distill"] = [{"method": "cwd", "weight": 3}, {"method": "pixel", "weight": 1}]
    built = build(parse_recipe(recipe, "test"))
    built.distiller._trainer = None
    torch.manual_seed(0)
    loss = built.distiller.training_step(as_batch([built.training[Draw(k, k)] for k in range(2)]), 0)["loss"]
    assert built.scored_teacher is not None
    return loss.item(), built.task.scores(built.scored_teacher, built.validation, None)["miou"]


def test_a_permuted_teacher_with_its_mapping_teaches_the_same(recipe: dict[str, Any], tmp_path: Path) -> None:
    plain = loss_and_score(recipe, teacher(tmp_path / "plain", [0, 1, 2], ["class0", "class1", "class2"]), None)
    permuted = teacher(tmp_path / "permuted", [2, 0, 1], ["red", "road", "tree"])
    by_name = {"class0": "road", "class1": "tree", "class2": "red"}
    assert loss_and_score(recipe, permuted, by_name) == pytest.approx(plain, rel=1e-5)
    assert loss_and_score(recipe, permuted, {"class0": 1, "class1": [2], "class2": 0}) == pytest.approx(plain, rel=1e-5)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (None, r"Fix it with 'teacher\.classes', which maps the data's classes to the teacher's"),
        ({"class0": 0}, r"must map every class of the data and no other: class0, class1, class2\. .* class1, class2"),
        (
            {"class0": 0, "class1": 1, "class2": 9},
            r"teacher\.classes\.class2: the teacher has 5 classes, and 9 is none",
        ),
        ({"class0": "a", "class1": 1, "class2": "x"}, r"class2: .* 'x' is none; it knows a, b, c, d, e"),
    ],
)
def test_what_does_not_fit_is_said(
    recipe: dict[str, Any], tmp_path: Path, classes: dict[str, Any] | None, message: str
) -> None:
    checkpoint = teacher(tmp_path / "five", [0, 1, 2, 3, 4], list("abcde"))
    with pytest.raises(RecipeError, match=message):
        loss_and_score(recipe, checkpoint, classes)


def test_five_classes_teach_three(recipe: dict[str, Any], tmp_path: Path) -> None:
    checkpoint = teacher(tmp_path / "five", [0, 1, 2, 3, 4], list("abcde"))
    loss, score = loss_and_score(recipe, checkpoint, {"class0": ["a", "e"], "class1": "b", "class2": ["c", 3]})
    assert loss > 0
    assert 0 <= score <= 100


def published_teacher(count: int) -> Opened:
    model = fpn(count, **OPTIONS).eval()
    return Opened(model, unnamed_classes(count), PackageConfig("fpn", OPTIONS, [], []))


def test_a_teacher_of_182_classes_teaches_cocostuff_by_itself_and_by_name() -> None:
    opened = published_teacher(182)
    classes = published_classes("cocostuff")
    images = torch.rand(1, 3, 32, 32)
    found, notes = map_classes(None, opened, classes)
    named, no_notes = map_classes("cocostuff-182", opened, classes)
    assert notes == (
        "teacher.classes: cocostuff-182 was chosen, since the teacher has 182 logits: of these the 171 classes of "
        "cocostuff are taken.",
    )
    assert no_notes == ()
    with torch.no_grad():
        logits = opened.model(images)
        assert found(images).shape[1] == 171
        assert torch.equal(found(images), named(images))
        # Ids 11, 25, ... are in no label map: the classes behind them move up.
        for k, member in ((0, 0), (11, 12), (24, 26), (170, 181)):
            assert torch.equal(named(images)[:, k], logits[:, member])


def test_no_map_is_applied_to_other_data_or_other_teachers() -> None:
    classes = published_classes("cocostuff")
    exact = published_teacher(171)
    assert map_classes(None, exact, classes) == (exact.model, ())
    other = unnamed_classes(171)
    unmapped = published_teacher(182)
    assert map_classes(None, unmapped, other) == (unmapped.model, ())
    # Said by name, the order of the data's classes is the user's word.
    assert map_classes("cocostuff-182", unmapped, other)[0].num_classes == 171
    for count, data in ((171, classes), (182, published_classes("ade20k"))):
        with pytest.raises(
            RecipeError, match=r"cocostuff-182 takes 171 classes \(cocostuff\) out of 182; the data has"
        ):
            map_classes("cocostuff-182", published_teacher(count), data)
    with pytest.raises(RecipeError, match="no class map is called 'cocostuff-181'"):
        map_classes("cocostuff-181", unmapped, classes)


def test_classes_of_a_detector_are_not_mapped() -> None:
    classes = unnamed_classes(5)
    detector = Opened(gfl(5, **OPTIONS), classes, PackageConfig("gfl", OPTIONS, [], []))
    with pytest.raises(RecipeError, match=r"a detector's classes are not mapped.*tap neck\.\*"):
        map_classes({"class 0": 0, "class 1": 1}, detector, unnamed_classes(2))
    assert map_classes("by-number", detector, classes) == (detector.model, ())


def test_a_misfit_names_the_map() -> None:
    shapes = (torch.Size([1, 171, 8, 8]), torch.Size([1, 182, 8, 8]))
    meeting = Meeting("the student's logits", shapes[0], "the teacher's logits", shapes[1])
    assert "'teacher.classes: cocostuff-182', which maps" in describe_misfit([meeting], "conv", "teacher")
