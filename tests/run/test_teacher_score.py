"""The teacher is scored on the training's device, by the first process, and once for the same teacher and images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_data import make_folder, tiny_recipe
from torch import nn
from training_runs import parsed

from densekd.builders.build import Built, build
from densekd.recipe import Recipe
from densekd.run import teacher_score as module
from densekd.run.teacher_score import score_teacher, teacher_score
from densekd.tasks.segmentation import Segmentation
from densekd.terminal import Terminal

CPU = torch.device("cpu")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "data", {"train": 2, "val": 2})


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """The models that were scored."""
    found: list[nn.Module] = []
    original = Segmentation.scores

    def scores(self: Segmentation, model: nn.Module, *arguments: Any, **more: Any) -> Any:
        found.append(model)
        return original(self, model, *arguments, **more)

    monkeypatch.setattr(Segmentation, "scores", scores)
    return found


def built(root: Path, seed: int = 0, change: Mapping[str, Any] | None = None) -> tuple[Built, Recipe]:
    content = tiny_recipe(root)
    content["teacher"] = content["student"] | {"checkpoint": "untrained"}
    content["distill"] = [{"method": "cwd", "weight": 1}]
    content["training"]["seed"] = seed
    recipe = parsed(content | dict(change or {}))
    return build(recipe), recipe


def test_the_same_teacher_and_images_are_scored_once(root: Path, scored: list[nn.Module]) -> None:
    first = teacher_score(*built(root), CPU)
    again = teacher_score(*built(root), CPU)
    assert first is not None
    assert again is not None
    assert len(scored) == 1
    assert (first.kept, again.kept) == (False, True)
    assert (again.score, again.images) == (first.score, first.images) == (first.score, 2)


def test_what_changes_the_score_is_scored_anew(root: Path, scored: list[nn.Module]) -> None:
    teacher_score(*built(root), CPU)
    # Another teacher, another evaluation.
    teacher_score(*built(root, seed=1), CPU)
    teacher_score(*built(root, change={"evaluation": {"flip": "horizontal"}}), CPU)
    assert len(scored) == 3
    # Other labels of as many bytes, by the same name.
    labels = sorted((root / "labels" / "val").glob("*.png"))
    one, other = (path.read_bytes() for path in labels)
    labels[0].write_bytes(other)
    labels[1].write_bytes(one)
    teacher_score(*built(root), CPU)
    assert len(scored) == 4


def test_a_damaged_file_is_found_again(root: Path, scored: list[nn.Module]) -> None:
    teacher_score(*built(root), CPU)
    (file,) = module._folder().glob("*.json")
    file.write_text(file.read_text().replace('"images": 2', '"images": 3'))
    teacher_score(*built(root), CPU)
    assert len(scored) == 2
    file.write_text("{")
    teacher_score(*built(root), CPU)
    assert len(scored) == 3
    found = teacher_score(*built(root), CPU)
    assert found is not None
    assert found.kept


def test_a_cache_that_cannot_be_written_stops_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(next((root / "images" / "val").glob("*.png"))))
    for _ in range(2):
        found = teacher_score(*built(root), CPU)
        assert found is not None
        assert not found.kept


def test_code_of_the_users_may_change(root: Path) -> None:
    one, recipe = built(root)
    sample = one.validation
    assert module.key_of(one, recipe, sample, CPU) is not None
    own = recipe.model_copy(update={"data": recipe.data.model_copy(update={"dataset": "mine:files"})})
    assert module.key_of(one, own, sample, CPU) is None


def test_other_processes_than_the_first_leave_it(
    root: Path, scored: list[nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    score_teacher(*built(root), CPU, Terminal(quiet=True))
    assert scored == []


def test_it_is_scored_where_the_training_runs(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no GPU here: which device is asked for is noted, and nothing is moved."""
    one, recipe = built(root)
    asked: list[str] = []
    teacher: Any = one.scored_teacher
    monkeypatch.setattr(teacher, "to", lambda device: asked.append(str(device)) or teacher)
    teacher_score(one, recipe, torch.device("cuda", 1))
    assert asked == ["cuda:1", "cpu"]


def test_a_kept_score_says_so(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        score_teacher(*built(root), CPU, Terminal())
    first, *_, again = [line for line in capsys.readouterr().out.splitlines() if line.startswith("teacher: ")]
    assert first.endswith("on 2 validation images")
    assert again == f"{first}, found by an earlier start"
