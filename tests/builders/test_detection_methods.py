"""Methods on the levels of a detector, through a recipe: one step, what docs/detection.md shows, what is refused."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from laws import needs_labels
from torch import Tensor

import densekd
from densekd.builders.build import build
from densekd.data.sampler import Draw
from densekd.distill.distiller import Distiller
from densekd.distill.taps import Taps
from densekd.errors import RecipeError
from densekd.losses import LOSSES
from densekd.models import find_model
from densekd.recipe import TermSpec, parse_recipe

DOCS = Path(__file__).parents[2] / "docs" / "detection.md"
NECK, CLS = ({"student": tap, "teacher": tap} for tap in ("neck.{0,1,2,3,4}", "cls.{0,1,2,3,4}"))
HEADS = [f"{kind}.{level}" for kind in ("cls", "reg") for level in range(5)]
# What reads a map of labels, with options under which it does.
OF_LABELS: dict[str, dict[str, Any]] = {name: {} for name in LOSSES if needs_labels(name)} | {
    "cirkd_memory": {"pixel_memory_size": 64, "region_memory_size": 32},
    "hwd": {"pixel_division": "N"},
    "pixel": {"void": "masked"},
}
# These compare maps that have one size, within a list of levels or with remembered ones.
OF_ONE_SIZE = {"dsd", "dsd.psd", "cirkd_channel"}
# These take all levels of a detector at once.
OF_ALL_LEVELS = {"ld", "ld.classes", "ld.features"}
OPTIONS: dict[str, dict[str, Any]] = {
    "cirkd_channel": {"channel_memory_size": 64},
    "adversarial": {"objective": "hinge"},
}


def snippets() -> list[dict[str, Any]]:
    """Return the terms of every block of YAML in the document."""
    blocks = re.findall(r"```yaml\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    return [term for block in blocks for term in yaml.safe_load(block)]


@pytest.fixture
def distilled(detection_recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe with a teacher of the student's width."""
    detection_recipe["teacher"] = detection_recipe["student"] | {"checkpoint": "untrained"}
    return detection_recipe


def made(content: dict[str, Any]) -> tuple[Distiller, dict[str, Any]]:
    """Build; return also a batch."""
    built = build(parse_recipe(content, "test"))
    built.distiller._trainer = None
    return built.distiller, built.training.collate([built.training[Draw(k, k)] for k in range(2)])


def stepped(content: dict[str, Any]) -> tuple[Distiller, dict[str, Tensor]]:
    """Take one step; return the distiller with its gradients and the terms' weighted values."""
    distiller, batch = made(content)
    result = distiller.training_step(batch, 0)
    result["loss"].backward()
    values = {name: value for name, value in result["losses"].items() if name.startswith("distill/")}
    assert all(value.isfinite() for value in values.values())
    learning = [p for p in distiller.terms.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in learning)
    return distiller, values


@pytest.mark.parametrize("method", sorted(set(LOSSES) - set(OF_LABELS) - OF_ONE_SIZE - OF_ALL_LEVELS))
def test_a_method_learns_on_every_level(distilled: dict[str, Any], method: str) -> None:
    """The last level of these images is a single position."""
    distilled["distill"] = [{"method": method, "weight": 1, "options": OPTIONS.get(method, {}), **NECK}]
    distiller, values = stepped(distilled)
    assert len(values) == 5
    assert sum(values.values()).item() > 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in distiller.student.neck.parameters())


@pytest.mark.parametrize(("method", "taps"), [("ld.classes", "cls.{0,1,2,3,4}"), ("ld.features", "neck.{0,1,2,3,4}")])
def test_a_method_learns_on_all_levels_at_once(distilled: dict[str, Any], method: str, taps: str) -> None:
    distilled["distill"] = [{"method": method, "weight": 1, "student": [taps], "teacher": [taps]}]
    distiller, values = stepped(distilled)
    assert len(values) == 1
    assert sum(values.values()).item() > 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in distiller.student.neck.parameters())


@pytest.mark.parametrize("number", range(len(snippets())))
def test_what_the_document_shows_is_built_and_learns(distilled: dict[str, Any], number: int) -> None:
    spec = TermSpec.model_validate(snippets()[number])
    distilled["distill"] = [snippets()[number]]
    # The document speaks of towers of four convolutions.
    for side in ("student", "teacher"):
        distilled[side]["options"] = distilled[side]["options"] | {"depth": 4}
    distiller, values = stepped(distilled)
    assert len(values) == len(spec.fan_out())
    assert {term.weight.value for term in distiller.terms.values()} == {spec.weight.value}
    assert sum(values.values()).item() > 0


def test_a_wrapped_teacher_sees_the_double_size(
    distilled: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The module and the terms of docs/questions.md: levels that cover the same pixels have one size."""
    page = (DOCS.parent / "questions.md").read_text("utf-8")
    (block,) = re.findall(r"```python\n# larger.py\n(.*?)```", page, re.DOTALL)
    (tmp_path / "larger.py").write_text(block)
    monkeypatch.syspath_prepend(tmp_path)
    options = distilled["student"]["options"]
    monkeypatch.setattr(densekd, "load", lambda _: find_model("gfl")(2, **options))
    # The first is of a segmentor.
    _, terms = re.findall(r"```yaml\n(teacher: {checkpoint: .larger:larger.*?)```", page, re.DOTALL)
    distiller, values = stepped(distilled | yaml.safe_load(terms))
    assert len(values) == 8
    images = torch.rand(1, 3, 64, 96)
    student, teacher = (
        Taps(model, paths)(images)[1]
        for model, paths in (
            (distiller.student, ["neck.0", "cls.3"]),
            (distiller.teacher.model, ["net.neck[1]", "net.head.cls@4"]),
        )
    )
    assert student["neck.0"].shape == teacher["net.neck[1]"].shape
    assert student["cls.3"].shape == teacher["net.head.cls@4"].shape


def test_the_document_has_what_is_published() -> None:
    shown = [TermSpec.model_validate(term) for term in snippets()]
    assert {spec.method for spec in shown} == {"cwd", "ld", "fgd", "pkd", "mgd", "fbkd", "at", "l2"}
    fbkd = {
        tap: part.options
        for spec in shown
        if spec.method == "fbkd"
        for part in spec.fan_out()
        for tap in [part.student]
    }
    assert [fbkd[f"neck.{k}"]["reduction"] for k in range(4)] == [4, 4, 2, 2]
    assert [fbkd[f"neck.{k}"]["stride"] for k in range(4)] == [8, 4, 2, 2]


def test_cwd_on_the_head_is_the_sum_over_levels(distilled: dict[str, Any]) -> None:
    """MMRazor 0.3: 5 times the sum over the calls of the shared classifier, each divided by images and classes."""
    distilled["distill"] = [{"method": "cwd", "weight": 5, **CLS}]
    distiller, batch = made(distilled)
    images, total = distiller.task.images(batch), 0.0
    with torch.no_grad():
        models = distiller.student, distiller.teacher.model
        models[1].head.cls.weight.mul_(100)  # untrained heads agree too well to tell a sum from its rounding
        maps = [Taps(model, dict.fromkeys(HEADS[:5]))(images)[1] for model in models]
    for level in HEADS[:5]:
        s, t = (x[level].flatten(2).double() for x in maps)
        p = t.softmax(2)
        total += 5 * (p * (t.log_softmax(2) - s.log_softmax(2))).sum().item() / (s.shape[0] * s.shape[1])
    result = distiller.training_step(batch, 0)
    values = [value.item() for name, value in result["losses"].items() if name.startswith("distill/cwd")]
    assert len(values) == 5
    assert sum(values) == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("method", ["ld", "fgd"])
def test_without_any_box_it_trains(distilled: dict[str, Any], method: str) -> None:
    taps = {"student": HEADS, "teacher": HEADS} if method == "ld" else NECK
    distilled["distill"] = [{"method": method, "weight": 1, **taps}]
    distiller, batch = made(distilled)
    batch["boxes"], batch["labels"] = ([x[:0] for x in batch[name]] for name in ("boxes", "labels"))
    result = distiller.training_step(batch, 0)
    result["loss"].backward()
    values = [value.item() for name, value in result["losses"].items() if name.startswith("distill/")]
    assert (sum(values) == 0) == (method == "ld")
    assert all(p.grad is None or p.grad.isfinite().all() for p in distiller.parameters())


def test_feature_sizes_may_differ_for_pkd(distilled: dict[str, Any]) -> None:
    """A level of the teacher's pyramid against the next finer one of the student's: resized, not refused."""
    distilled["distill"] = [{"method": "pkd", "weight": 6, "student": "neck.{0,1,2}", "teacher": "neck.{1,2,3}"}]
    # Which of the two is resized has to be said.
    distilled["distill"][0]["options"] = {"resize": "student"}
    assert len(stepped(distilled)[1]) == 3


@pytest.mark.parametrize("method", OF_LABELS)
def test_what_learns_from_labels_says_so(distilled: dict[str, Any], method: str) -> None:
    distilled["distill"] = [{"method": method, "weight": 1, "options": OF_LABELS[method], **CLS}]
    with pytest.raises(RecipeError, match=r"distill\.0: .*labels.* boxes"):
        build(parse_recipe(distilled, "test"))


@pytest.mark.parametrize("method", sorted(OF_ONE_SIZE))
def test_what_needs_maps_of_one_size_says_so(distilled: dict[str, Any], method: str) -> None:
    taps = NECK if method == "cirkd_channel" else {"student": HEADS[:2], "teacher": HEADS[:2]}
    distilled["distill"] = [{"method": method, "weight": 1, **taps}]
    with pytest.raises(RecipeError, match=r"made for maps of one size|must have one shape but for the channels"):
        build(parse_recipe(distilled, "test"))


def test_levels_of_two_strides_are_not_resized_unasked(distilled: dict[str, Any]) -> None:
    term = {"method": "pkd", "weight": 1, "student": "neck.{0,1}", "teacher": "neck.{1,2}"}
    distilled["distill"] = [term]
    with pytest.raises(RecipeError, match=r"distill\.0: the student's neck\.0 is .*: levels of two strides"):
        build(parse_recipe(distilled, "test"))
    distilled["distill"] = [term | {"resize_to": "teacher"}]
    assert len(stepped(distilled)[1]) == 2


def test_a_cache_of_a_detector_is_refused(distilled: dict[str, Any], tmp_path: Path) -> None:
    distilled["teacher"] = distilled["teacher"] | {"cache": {"folder": str(tmp_path / "cache"), "views": 2}}
    distilled["distill"] = [{"method": "pkd", "weight": 1, **NECK}]
    with pytest.raises(RecipeError, match=r"teacher\.cache: .* batches of detection are padded .* Remove it"):
        build(parse_recipe(distilled, "test"))


def test_scores_of_other_heads_are_not_translated(distilled: dict[str, Any]) -> None:
    distilled["teacher"] = distilled["teacher"] | {"model": "retinanet"}
    distilled["distill"] = [{"method": "cwd", "weight": 5, **CLS}]
    with pytest.raises(RecipeError, match=r"Fix it with features of both, such as 'neck'") as error:
        build(parse_recipe(distilled, "test"))
    assert "adapter" not in str(error.value)


@pytest.mark.parametrize("method", ["ld", "fgd"])
def test_what_learns_from_boxes_says_so(recipe: dict[str, Any], method: str) -> None:
    recipe["teacher"] = recipe["student"] | {"checkpoint": "untrained"}
    taps = {"student": ["logits", "logits"], "teacher": ["logits", "logits"], "options": {"strides": [4]}}
    own = taps if method == "ld" else {}
    recipe["distill"] = [{"method": method, "weight": 1, **own}]
    with pytest.raises(RecipeError, match=r"distill\.0: .*needs boxes"):
        build(parse_recipe(recipe, "test"))


def test_labels_cannot_say_the_size(distilled: dict[str, Any]) -> None:
    distilled["distill"] = [{"method": "cwd", "weight": 1, "resize_to": "label", **CLS}]
    with pytest.raises(RecipeError, match="resize_to: label needs a map of labels"):
        build(parse_recipe(distilled, "test"))
