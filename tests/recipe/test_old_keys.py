"""Keys of an earlier version are accepted for one version, with a note."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_data import tiny_recipe

from densekd.errors import RecipeError
from densekd.recipe import Recipe, dump_recipe, load_recipe, parse_recipe

Load = Callable[..., Recipe]

TERM = {"method": "cwd", "weight": 3}


def old() -> dict[str, Any]:
    """The content of a recipe of the earlier version."""
    content = tiny_recipe(Path("/data"))
    content["optimiser"] = {**content.pop("optimizer", {}), "lr": 0.25}
    content["task"] = {"normalise": "all"}
    content["teacher"] = {"model": "fpn", "checkpoint": "untrained"}
    content["distill"] = [
        {**TERM, "resize": "teacher", "options": {"normalise": "spatial"}},
        {**TERM, "method": "adversarial", "options": {"critic_weight": 5, "optimisation": {"lr": 1}}},
        {**TERM, "method": "mine:Loss", "options": {"normalise": "as I say"}},
    ]
    return content


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load_content(content: dict[str, Any], *overrides: str) -> Recipe:
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(content))
        return load_recipe(path, overrides)

    return load_content


def test_a_recipe_of_the_earlier_version(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    recipe = load(old())
    assert recipe.optimizer.lr == 0.25
    assert recipe.task.normalize == "all"
    assert recipe.distill[0].resize_to == "teacher"
    assert recipe.distill[0].options == {"normalize": "spatial"}
    assert recipe.distill[1].options == {"discriminator_weight": 5, "optimization": {"lr": 1}}
    # The options of one's own loss are called as its constructor calls them.
    assert recipe.distill[2].options == {"normalise": "as I say"}
    notes = [record.getMessage() for record in caplog.records]
    later = "the old name will stop working in the next version."
    assert f"note: optimiser is called optimizer now; {later}" in notes
    assert f"note: task.normalise is called task.normalize now; {later}" in notes
    assert f"note: distill.*.resize is called distill.*.resize_to now; {later}" in notes
    assert len(notes) == 6


def test_a_mapping_is_read_alike_and_left_as_it_is() -> None:
    content = old()
    assert parse_recipe(content, "here").optimizer.lr == 0.25
    assert content == old()


@pytest.mark.parametrize("content", [old(), tiny_recipe(Path("/data")) | {"distill": old()["distill"]}])
@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("optimiser.lr=0.5", lambda recipe: recipe.optimizer.lr == 0.5),
        ("optimizer.lr=0.5", lambda recipe: recipe.optimizer.lr == 0.5),
        ("task.normalise=valid", lambda recipe: recipe.task.normalize == "valid"),
        ("distill.1.resize=label", lambda recipe: recipe.distill[1].resize_to == "label"),
        ("distill.0.options.normalise=none", lambda recipe: recipe.distill[0].options["normalize"] == "none"),
        ("distill.2.options.normalise=x", lambda recipe: recipe.distill[2].options == {"normalise": "x"}),
    ],
)
def test_old_keys_in_overrides(load: Load, content: dict[str, Any], override: str, read: Callable[..., bool]) -> None:
    recipe = load({**content, "teacher": {"model": "fpn", "checkpoint": "untrained"}}, override)
    assert read(recipe)


def test_a_run_of_the_earlier_version_has_the_same_recipe(load: Load, tmp_path: Path) -> None:
    """Resuming compares the run's recipe.yaml, in which every default is written out, with the one that is given."""
    recipe = load(old())
    written = dump_recipe(recipe)
    for now, then in [("optimizer:", "optimiser:"), ("normalize:", "normalise:"), ("resize_to:", "resize:")]:
        assert now in written
        written = written.replace(now, then)
    (tmp_path / "old.yaml").write_text(written.replace("  short_side: null\n", "").replace("  long_side: null\n", ""))
    assert load_recipe(tmp_path / "old.yaml") == recipe


def test_old_and_new_together_are_refused(load: Load) -> None:
    with pytest.raises(RecipeError, match=r"^optimiser: the old name of 'optimizer', which is there too"):
        load(old() | {"optimizer": {"lr": 1}})


@pytest.mark.parametrize(
    ("kind", "written", "sizes", "noted"),
    [
        ("segmentation", 512, (None, 512, None), True),
        ("segmentation", [512], (None, 512, None), True),
        ("segmentation", [180, 240], ((180, 240), None, None), False),
        ("segmentation", None, (None, None, None), False),
        ("detection", [800, 1333], (None, 800, 1333), True),
        ("detection", 800, (None, 800, None), True),
    ],
)
@pytest.mark.parametrize("place", ["file", "override"])
def test_the_meanings_that_resize_had(
    load: Load,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    written: Any,
    sizes: tuple[Any, ...],
    noted: bool,
    place: str,
) -> None:
    content = tiny_recipe(Path("/data")) | {"task": {"kind": kind}}
    if place == "file":
        content["data"]["resize"] = written
        recipe = load(content)
    else:
        # As an override it takes the place of what the file says.
        content["data"]["resize"] = [7, 9]
        recipe = load(content, f"data.resize={written if written is not None else 'null'}")
    assert (recipe.data.resize, recipe.data.short_side, recipe.data.long_side) == sizes
    assert any("data.resize is called data.short_side" in r.getMessage() for r in caplog.records) == (
        noted or (place == "override" and kind == "detection")
    )


@pytest.mark.parametrize("place", ["file", "override"])
@pytest.mark.parametrize(
    ("written", "meant", "noted"),
    [(True, "torchvision", True), (False, "none", False), ("mmseg", "mmseg", False)],
)
def test_photometric_was_a_boolean(
    load: Load, caplog: pytest.LogCaptureFixture, written: Any, meant: str, noted: bool, place: str
) -> None:
    content = tiny_recipe(Path("/data"))
    augment = {**content.get("augment", {}), "photometric": written}
    if place == "file":
        recipe = load(content | {"augment": augment})
    else:
        recipe = load(content, f"augment.photometric={str(written).lower()}")
    assert recipe.augment.photometric == meant
    assert any("photometric: true means 'torchvision'" in r.getMessage() for r in caplog.records) == noted
