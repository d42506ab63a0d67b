"""A task is built from the recipe's sections, whose keys are its constructor's; what does not fit is said."""

from typing import Any

import pytest

from densekd.builders.data import build_files
from densekd.builders.task import build_task, packaged_task
from densekd.errors import RecipeError, UserError
from densekd.models.package import PackageConfig
from densekd.recipe import EvaluationSpec, parse_recipe
from densekd.tasks import Detection, Segmentation
from densekd.tasks.protocol import Task
from densekd.tasks.segmentation.inference import Window

PACKAGE = PackageConfig("fpn", {}, ["a", "b"], [[0, 0, 0]] * 2)


def built(content: dict[str, Any]) -> Task:
    recipe = parse_recipe(content, "test")
    return build_task(recipe, build_files(recipe.data, "train"))


def test_the_sections_become_arguments(recipe: dict[str, Any]) -> None:
    recipe["task"] = {"class_weights": [1, 2, 0.5], "auxiliary_weight": 0.1, "normalize": "all"}
    recipe["evaluation"] = {"crop": [30, 20], "scales": [0.5, 1.0], "flip": "horizontal", "absent": "zero"}
    task = built(recipe)
    assert isinstance(task, Segmentation)
    assert task.class_weights is not None
    assert task.class_weights.tolist() == [1, 2, 0.5]
    assert (task.auxiliary_weight, task.normalize, task.evaluation.absent) == (0.1, "all", "zero")
    inference = task.whole_images.inference
    assert inference.window == Window((30, 20), (20, 14))
    assert (inference.scales, inference.flip) == ((0.5, 1.0), "horizontal")


def test_balanced_weights_are_counted_on_the_training_images(recipe: dict[str, Any]) -> None:
    task = built(recipe | {"task": {"class_weights": "balanced"}})
    assert isinstance(task, Segmentation)
    assert task.class_weights is not None
    assert task.class_weights.mean().item() == pytest.approx(1)
    # The background is most of every picture.
    assert task.class_weights.argmin() == 0


@pytest.mark.parametrize(
    ("section", "content", "message"),
    [
        ("task", {"class_wights": "none"}, "task: unknown option 'class_wights'. Did you mean 'class_weights'?"),
        ("task", {"class_weights": "balancd"}, "task.class_weights: one of none, balanced or a list of numbers"),
        ("task", {"class_weights": [1, -1, 1]}, "task.class_weights: one of none, balanced or a list of numbers"),
        ("task", {"class_weights": [1, 1]}, "task: class_weights: 2 values for 3 classes"),
        ("task", {"auxiliary_weight": -1}, "task.auxiliary_weight: a number of at least 0, got -1."),
        ("task", {"num_classes": 3}, "task: 'num_classes' is measured from the models and data; remove it"),
        ("task", {"kind": "segmentatoin"}, "task.kind: unknown task 'segmentatoin'. Did you mean 'segmentation'?"),
        (
            "task",
            {"kind": "densekd.losses.cwd:CWD"},
            "the task 'densekd.losses.cwd:CWD' was not called: it has",
        ),
        ("evaluation", {"corp": [8, 8]}, "evaluation: unknown option 'corp'. Did you mean 'crop'?"),
        ("evaluation", {"stride": [8, 8]}, "evaluation: stride needs a crop that is at least as large"),
        ("evaluation", {"scales": []}, "evaluation.scales: "),
        ("evaluation", {"boundary": 1}, "evaluation.boundary: a number of at least 0 and less than 1, got 1."),
    ],
)
def test_what_a_task_does_not_take_is_said(
    recipe: dict[str, Any], section: str, content: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError) as error:
        built(recipe | {section: content})
    assert message in str(error.value)


def test_detection_takes_no_options_of_segmentation(detection_recipe: dict[str, Any]) -> None:
    assert isinstance(built(detection_recipe), Detection)
    with pytest.raises(RecipeError, match="task: unknown option 'normalize'"):
        built(detection_recipe | {"task": {"kind": "detection", "normalize": "all"}})
    with pytest.raises(RecipeError, match="evaluation: unknown option 'crop'"):
        built(detection_recipe | {"evaluation": {"crop": [8, 8]}})


def test_without_a_task_the_data_says_how_the_student_is_scored(
    recipe: dict[str, Any], detection_recipe: dict[str, Any]
) -> None:
    distilled = {
        "teacher": {"model": "fpn", "checkpoint": "untrained"},
        "distill": [{"method": "cwd", "weight": 1}],
        "task": {"kind": "none"},
    }
    assert isinstance(built(recipe | distilled), Segmentation)
    assert isinstance(built(detection_recipe | distilled), Detection)


def test_a_package_says_its_task() -> None:
    task = packaged_task(PACKAGE, EvaluationSpec.model_validate({"flip": "horizontal"}))
    assert isinstance(task, Segmentation)
    assert (task.num_classes, task.evaluation.flip) == (2, "horizontal")
    unknown = PackageConfig("fpn", {}, ["a"], [[0, 0, 0]], task="depht")
    with pytest.raises(UserError, match="Unknown task 'depht'"):
        packaged_task(unknown, EvaluationSpec())
    strange = PackageConfig("fpn", {}, ["a"], [[0, 0, 0]], task_options={"margin": 1})
    with pytest.raises(UserError, match=r"config\.json: task: unknown option 'margin'"):
        packaged_task(strange, EvaluationSpec())
