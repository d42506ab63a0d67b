"""Recipes against the numbers of the original experiments, which are typed from their sources."""

import copy
import inspect
from typing import Any

import pytest

from densekd.losses import LOSSES
from densekd.losses.adversarial.adversarial import ADAM
from densekd.presets import PRESETS
from densekd.presets.originals import ABSENT, FACTS, find_value, numbers_of
from densekd.presets.preset import Preset
from densekd.recipe import Recipe
from densekd.tasks.segmentation.task import Segmentation

EVERY = sorted(PRESETS)


def differences(preset: Preset, content: dict[str, Any]) -> list[str]:
    """Compare a recipe with every fact about it."""
    found = []
    for fact in FACTS[preset.system]:
        if not fact.holds_for(preset):
            continue
        value = find_value(content, fact.key)
        if value is ABSENT and fact.ours is not ABSENT:
            value = default_value(content, fact.key)
        if value is not fact.ours and (ABSENT in (value, fact.ours) or value != fact.ours):
            found.append(f"{fact.key}: {value}, original {fact.parameter} {fact.original}: {fact.ours}")
    return found


def default_value(content: dict[str, Any], key: str) -> Any:
    """Return what a recipe means where it does not say it: the default of a section or of a constructor."""
    parts = key.split(".")
    if parts[0] == "distill":
        return default_of_term(content, parts)
    section: Any = Recipe.model_fields[parts[0]].annotation
    if parts[0] == "task":
        default = inspect.signature(Segmentation).parameters[parts[1]].default
    else:
        default = section.model_fields[parts[1]].get_default()
    return list(default) if isinstance(default, tuple) else default


def default_of_term(content: dict[str, Any], parts: list[str]) -> Any:
    """Return the default of a loss's option; absent where there is no such term."""
    if find_value(content, ".".join([*parts[:2], "weight"])) is ABSENT or parts[2] != "options":
        return ABSENT
    if parts[3] == "optimization":
        default = ADAM.get(parts[4], find_value(content, f"optimizer.{parts[4]}"))
    else:
        method = parts[1].partition("#")[0].replace("ld_", "ld.")
        default = inspect.signature(LOSSES[method].__init__).parameters[parts[3]].default
    return list(default) if isinstance(default, tuple) else default


@pytest.mark.parametrize("name", EVERY)
def test_every_number_is_the_originals(name: str) -> None:
    preset = PRESETS[name]
    assert differences(preset, preset.content) == []


@pytest.mark.parametrize("name", EVERY)
def test_no_number_is_without_a_fact(name: str) -> None:
    """So that none can be changed without a failing test."""
    preset = PRESETS[name]
    known = {fact.key for fact in FACTS[preset.system] if fact.holds_for(preset)}
    assert sorted(set(numbers_of(preset.content)) - known) == []


def test_every_fact_is_about_a_recipe() -> None:
    """Facts that systems share are about a recipe of one of them."""
    used = set()
    for preset in PRESETS.values():
        used |= {id(fact) for fact in FACTS[preset.system] if fact.holds_for(preset)}
    idle = [fact for facts in FACTS.values() for fact in facts if id(fact) not in used]
    assert idle == []


@pytest.mark.parametrize(
    "name", ["td-r18-cwd-gan-pixel", "cirkd-r18-cwd", "cirkdv2-r18", "hwd-r18", "segdistill-psp-r50-cgd"]
)
def test_any_changed_number_is_noticed(name: str) -> None:
    preset = PRESETS[name]
    for key in numbers_of(preset.content):
        content = copy.deepcopy(preset.content)
        change(content, key)
        assert differences(preset, content), key


def change(content: dict[str, Any], key: str) -> None:
    """Put another value at a fact's key."""
    parts = key.split(".")
    place: Any = content
    if parts[0] == "distill":
        method, _, number = parts[1].partition("#")
        same = [term for term in content["distill"] if term["method"] == method]
        place, parts = same[int(number or 1) - 1], parts[2:]
    for part in parts[:-1]:
        place = place[part]
    place[parts[-1]] = "changed"
