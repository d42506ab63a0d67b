"""Every method through a recipe: built, one step, gradients where something learns."""

from typing import Any

import pytest

from densekd.build import build
from densekd.data.sampler import Draw
from densekd.data.segmentation import as_batch
from densekd.losses import LOSSES
from densekd.recipe import parse_recipe

FEATURES = {"student": "features.1", "teacher": "features.1"}
ADAPTED = {**FEATURES, "adapter": "conv"}
LEVELS = ["features.0", "pre_logits", "logits"]
TERMS: dict[str, dict[str, Any]] = {
    "at": FEATURES,
    "cirkd_channel": {**FEATURES, "options": {"teacher_size": [4, 4], "channel_memory_size": 64}},
    "cirkd_memory": {**FEATURES, "options": {"pixel_memory_size": 64, "region_memory_size": 32}},
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


@pytest.mark.parametrize("method", LOSSES)
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


def test_the_context_block_is_an_adapter(recipe: dict[str, Any]) -> None:
    recipe["teacher"] = {"model": "fpn", "options": {"backbone": "resnet18_050"}, "checkpoint": "untrained"}
    recipe["distill"] = [{"method": "cirkd_minibatch", "weight": 1, **FEATURES, "adapter": "graph-context"}]
    adapter = build(parse_recipe(recipe, "test")).distiller.terms["cirkd_minibatch"].adapter
    assert type(adapter).__name__ == "GraphContext"
