"""Every method through a recipe: built, one step, gradients where something learns."""

from typing import Any

import pytest
import torch
from laws import learns_boxes
from torch import nn

from densekd.builders.build import build
from densekd.data.maps import as_batch
from densekd.data.sampler import Draw
from densekd.distill.distiller import Distiller
from densekd.distill.taps import Taps
from densekd.distill.terms import Context
from densekd.errors import RecipeError
from densekd.losses import LOSSES
from densekd.recipe import parse_recipe

FEATURES = {"student": "features.1", "teacher": "features.1"}
ADAPTED = {**FEATURES, "adapter": "conv"}
LEVELS = ["features.0", "pre_logits", "logits"]
SMALL_MEMORY = {"pixel_memory_size": 64, "region_memory_size": 32}
SMALL_CHANNELS = {"channel_memory_size": 64}
TERMS: dict[str, dict[str, Any]] = {
    "at": FEATURES,
    "cirkd_channel": {**FEATURES, "options": SMALL_CHANNELS},
    "cirkd_memory": {**FEATURES, "options": SMALL_MEMORY},
    "cirkd_minibatch": FEATURES,
    "dsd": {"student": LEVELS, "teacher": LEVELS},
    "dsd.psd": {"student": LEVELS, "teacher": LEVELS},
    "fbkd": FEATURES,
    "fitnet": ADAPTED,
    "ifvd": FEATURES,
    "l1": ADAPTED,
    "l2": ADAPTED,
    "mgd": FEATURES,
    "pairwise": FEATURES,
    "pkd": ADAPTED,
}


# What learns from boxes has its tests in ``test_detection_methods.py``.
@pytest.mark.parametrize("method", [name for name, loss in LOSSES.items() if not learns_boxes(loss)])
def test_method_is_built_and_learns(recipe: dict[str, Any], method: str) -> None:
    recipe["teacher"] = {"model": "fpn", "options": {"backbone": "resnet18_050"}, "checkpoint": "untrained"}
    recipe["distill"] = [{"method": method, "weight": 1, **TERMS.get(method, {})}]
    built = build(parse_recipe(recipe, "test"))
    built.distiller._trainer = None
    batch = as_batch([built.training[Draw(k, k)] for k in range(4)])
    result = built.distiller.training_step(batch, 0)
    result["loss"].backward()
    (name,) = (name for name in result["losses"] if name.startswith("distill/"))
    assert result["losses"][name].isfinite()
    learning = [p for p in built.distiller.terms.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in learning)
    assert all(p.grad.isfinite().all() for p in built.distiller.student.parameters() if p.grad is not None)
    assert built.distiller.configure_optimizers()["optimizer"].param_groups
    saved = built.distiller.state_dict()
    assert not any(key.startswith("teacher") for key in saved)


CIRKDV2: list[dict[str, Any]] = [
    {"method": "fitnet", "weight": 10, **FEATURES, "adapter": "graph-context-conv"},
    {"method": "cirkd_minibatch", "weight": 1, **FEATURES, "adapter": "graph-context"},
    {"method": "cirkd_memory", "weight": 1, **FEATURES, "adapter": "graph-context", "options": SMALL_MEMORY},
    {"method": "cirkd_channel", "weight": 1, **FEATURES, "adapter": "graph-context", "options": SMALL_CHANNELS},
]


def step(content: dict[str, Any]) -> tuple[Distiller, dict[str, Any], list[str]]:
    """Build, and take one step; return also the context blocks in the order in which they ran."""
    built = build(parse_recipe(content, "test"))
    distiller, ran = built.distiller, []
    for name, term in distiller.terms.items():
        if isinstance(term, Context):
            term.block.register_forward_hook(lambda *_, name=name: ran.append(name))
    distiller._trainer = None
    batch = as_batch([built.training[Draw(k, k)] for k in range(4)])
    return distiller, distiller.training_step(batch, 0), ran


@pytest.fixture
def cirkdv2(recipe: dict[str, Any]) -> dict[str, Any]:
    recipe["teacher"] = {"model": "fpn", "options": {"backbone": "resnet18_050"}, "checkpoint": "untrained"}
    recipe["distill"] = [*CIRKDV2, {"method": "fitnet", "weight": 1, **ADAPTED}]
    return recipe


def test_terms_on_one_tap_share_one_context(cirkdv2: dict[str, Any]) -> None:
    distiller, result, ran = step(cirkdv2)
    assert ran == ["graph-context"]
    terms = distiller.terms
    assert list(terms) == ["graph-context", "fitnet", "cirkd_minibatch", "cirkd_memory", "cirkd_channel", "fitnet~2"]
    assert [type(terms[name].adapter) for name in list(terms)[1:4]] == [nn.Conv2d, nn.Identity, nn.Identity]
    assert [terms[name].taps.student for name in list(terms)[1:]] == ["graph-context"] * 4 + ["features.1"]
    # Once in the checkpoint, once in the optimizer, and moved by all of its terms.
    saved = [name for name in distiller.state_dict() if name.endswith("query.weight")]
    assert saved == ["terms.graph-context.block.query.weight"]
    query = distiller.get_parameter(saved[0])
    groups = distiller.configure_optimizers()["optimizer"].param_groups
    assert sum(parameter is query for group in groups for parameter in group["params"]) == 1
    result["loss"].backward()
    assert query.grad is not None
    assert query.grad.any()


def test_a_shared_context_is_the_block_before_every_loss(cirkdv2: dict[str, Any]) -> None:
    """The authors' way: the block's output takes the place of the student's features."""
    cirkdv2["distill"] = CIRKDV2
    _, result, _ = step(cirkdv2)
    built = build(parse_recipe(cirkdv2, "test"))
    batch = as_batch([built.training[Draw(k, k)] for k in range(4)])
    images, terms = batch["images"].float() / 255, built.distiller.terms
    student, teacher = built.distiller.student, built.distiller.teacher
    assert teacher is not None
    _, student_features = Taps(student, ["features.1"])(images)
    t = teacher(images)["features.1"]
    s = terms["graph-context"].block(student_features["features.1"])
    expected = {
        "fitnet": 10 * (terms["fitnet"].adapter(s) - t).square().mean(),
        **{name: terms[name].loss(s, t, batch["target"].long()) for name in list(terms)[2:]},
    }
    for name, value in expected.items():
        torch.testing.assert_close(result["losses"][f"distill/{name}"], value.detach(), rtol=1e-5, atol=1e-6)


def test_every_tap_has_its_own_context(cirkdv2: dict[str, Any]) -> None:
    levels = ["features.0", "pre_logits"]
    cirkdv2["distill"] = [
        {"method": "at", "weight": 1, "student": "features.{1,0}", "teacher": "features.{1,0}"},
        {"method": "dsd.psd", "weight": 1, "student": levels, "teacher": levels},
    ]
    for spec in cirkdv2["distill"]:
        spec["adapter"] = "graph-context"
    distiller, result, ran = step(cirkdv2)
    terms = distiller.terms
    assert ran == ["graph-context", "graph-context~2", "graph-context~3"]
    assert [terms[name].taps.student for name in ran] == ["features.1", "features.0", "pre_logits"]
    assert terms["at-1"].taps.student == "graph-context~2"
    assert terms["dsd-psd"].taps.student == ("graph-context~2", "graph-context~3")
    assert result["loss"].isfinite()


@pytest.mark.parametrize(
    ("term", "message"),
    [
        ({**FEATURES, "student": "logits"}, r"distill: graph-context on logits: .*even number of channels, got 3"),
        (FEATURES, r"the student's graph-context is \[1, 32,.*'adapter: graph-context-conv' \(a 1x1 convolution 32 ->"),
    ],
)
def test_a_context_that_does_not_fit(cirkdv2: dict[str, Any], term: dict[str, str], message: str) -> None:
    cirkdv2["distill"] = [{"method": "l2", "weight": 1, **term, "adapter": "graph-context"}]
    with pytest.raises(RecipeError, match=message):
        build(parse_recipe(cirkdv2, "test"))
