"""Students that begin with a checkpoint: trained for longer, fine-tuned for other classes by name."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from densekd.builders.models import build_model
from densekd.data.classes import Classes
from densekd.errors import RecipeError, UserError
from densekd.models import MODELS
from densekd.models.package import config_of, save_package
from densekd.recipe.models import StudentSpec

OPTIONS: dict[str, Any] = {"backbone": "resnet18_025", "channels": 8}
NAMES = ("road", "car", "tree")
# Tensors of the classifier: one row for each class.
ROWS = ("head.classifier.weight", "head.classifier.bias")


def package(folder: Path, names: tuple[str, ...] = NAMES, model: str = "fpn", **more: Any) -> nn.Module:
    """Write a student package and return its model."""
    torch.manual_seed(5)
    made = MODELS[model](len(names), **OPTIONS, **more)
    classes = Classes(names, tuple((k, k, k) for k in range(len(names))), 255)
    save_package(made, config_of(model, OPTIONS | more, classes, "segmentation"), folder)
    return made


def begin(names: tuple[str, ...], **spec: Any) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    """Build a student for data of these classes."""
    torch.manual_seed(6)
    opened = build_model(StudentSpec(**spec), len(names), "student", names)
    return opened.model.state_dict(), opened.notes


def test_the_package_says_the_architecture(tmp_path: Path) -> None:
    trained = package(tmp_path).state_dict()
    state, notes = begin(NAMES, checkpoint=str(tmp_path))
    assert all(torch.equal(value, trained[key]) for key, value in state.items())
    assert notes == ()
    opened = build_model(StudentSpec(checkpoint=str(tmp_path)), 3, "student", NAMES)
    assert opened.config.model == "fpn"
    assert opened.config.options == OPTIONS
    torch.save(trained, tmp_path / "bare.pth")
    with pytest.raises(RecipeError, match=r"student\.model is missing: .*bare\.pth does not say what model it is of"):
        begin(NAMES, checkpoint=str(tmp_path / "bare.pth"))


def test_rows_of_shared_names_are_kept(tmp_path: Path) -> None:
    trained = package(tmp_path).state_dict()
    names = ("sky", "Tree", "road", "water")
    state, notes = begin(names, checkpoint=str(tmp_path))
    fresh, _ = begin(names, model="fpn", options=OPTIONS)
    for key in ROWS:
        assert torch.equal(state[key][1], trained[key][2])
        assert torch.equal(state[key][2], trained[key][0])
        assert state[key].shape == fresh[key].shape
    weight = ROWS[0]
    assert torch.equal(state[weight][0], fresh[weight][0])
    assert torch.equal(state[weight][3], fresh[weight][3])
    assert all(torch.equal(value, trained[key]) for key, value in state.items() if key not in ROWS)
    (note,) = notes
    assert "has 3 classes, the data 4: fine-tuned" in note
    assert "keep the rows of Tree, road; those of sky, water begin anew" in note


def test_no_name_is_shared(tmp_path: Path) -> None:
    trained = package(tmp_path).state_dict()
    state, notes = begin(("cat", "dog"), checkpoint=str(tmp_path))
    assert torch.equal(state["backbone.conv1.0.weight"], trained["backbone.conv1.0.weight"])
    assert "head.classifier.bias, head.classifier.weight begin anew for all classes" in notes[0]


def test_as_many_other_classes_are_fine_tuned_where_that_is_said(tmp_path: Path) -> None:
    trained = package(tmp_path).state_dict()
    names = ("cat", "road", "dog")
    state, notes = begin(names, checkpoint=str(tmp_path), classes="fine-tune")
    assert torch.equal(state[ROWS[0]][1], trained[ROWS[0]][0])
    assert not torch.equal(state[ROWS[0]][0], trained[ROWS[0]][0])
    assert "keep the rows of road; those of cat, dog begin anew" in notes[0]


def test_bare_weights_of_another_number_of_classes(tmp_path: Path) -> None:
    trained = MODELS["fpn"](5, **OPTIONS).state_dict()
    torch.save(trained, tmp_path / "bare.pth")
    spec = {"model": "fpn", "options": OPTIONS, "checkpoint": str(tmp_path / "bare.pth")}
    state, notes = begin(NAMES, **spec)
    assert all(torch.equal(value, trained[key]) for key, value in state.items() if key not in ROWS)
    assert "has other classes: fine-tuned" in notes[0]
    with pytest.raises(UserError, match=r"other shape 2: head\.classifier\.weight"):
        begin(NAMES, **spec, classes="by-number")


def test_what_does_not_depend_on_classes_must_fit(tmp_path: Path) -> None:
    package(tmp_path)
    with pytest.raises(UserError, match=r"does not fit Segmentor; nothing was loaded"):
        begin(("cat", "dog"), checkpoint=str(tmp_path), options={"channels": 16})


def test_an_auxiliary_head_begins_anew(tmp_path: Path) -> None:
    trained = package(tmp_path, model="pspnet", auxiliary_channels=0).state_dict()
    state, notes = begin(NAMES, checkpoint=str(tmp_path), options={"auxiliary_channels": 8})
    assert any(key.startswith("auxiliary.") for key in state)
    assert all(torch.equal(state[key], value) for key, value in trained.items())
    assert "has no auxiliary head; it begins anew" in notes[0]


def test_a_detector_is_fine_tuned(tmp_path: Path) -> None:
    names, options = ("a", "b"), OPTIONS | {"depth": 1}
    trained = MODELS["gfl"](2, **options)
    classes = Classes(names, ((0, 0, 0), (1, 1, 1)), 255)
    save_package(trained, config_of("gfl", options, classes, "detection"), tmp_path)
    state, notes = begin(("b", "c", "d"), checkpoint=str(tmp_path))
    before = trained.state_dict()
    changed = [key for key in state if state[key].shape != before[key].shape]
    assert changed
    for key in changed:
        assert torch.equal(state[key][0], before[key][1])
    assert all(torch.equal(state[key], before[key]) for key in state if key not in changed)
    assert "keep the rows of b; those of c, d begin anew" in notes[0]
