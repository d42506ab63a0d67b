"""State dicts under the names of other projects, without memory: our own models on the meta device, renamed."""

from collections.abc import Mapping
from typing import Any

import torch
from golden_models import Rules, renamed
from torch import Tensor

from densekd.models import find_model

# Our parts of a ResNet with a single 7x7 convolution, with three of them, and OpenMMLab's three ("V1c").
SINGLE_STEM: Rules = [(r"backbone\.((?:conv|bn)1\..*)", r"{body}\1"), (r"backbone\.(layer.*)", r"{body}\1")]
DEEP_STEM: Rules = [
    (r"backbone\.conv1\.0(\..*)", r"{body}conv1\1"),
    (r"backbone\.conv1\.1(\..*)", r"{body}bn1\1"),
    (r"backbone\.conv1\.3(\..*)", r"{body}conv2\1"),
    (r"backbone\.conv1\.4(\..*)", r"{body}bn2\1"),
    (r"backbone\.conv1\.6(\..*)", r"{body}conv3\1"),
    (r"backbone\.bn1(\..*)", r"{body}bn3\1"),
    (r"backbone\.(layer.*)", r"{body}\1"),
]
V1C_STEM: Rules = [
    (r"backbone\.conv1(\..*)", r"{body}stem\1"),
    (r"backbone\.bn1(\..*)", r"{body}stem.7\1"),
    (r"backbone\.(layer.*)", r"{body}\1"),
]


def under(rules: Rules, body: str) -> Rules:
    """Return the rules of a backbone with what the project writes before its names."""
    return [(ours, theirs.replace("{body}", body)) for ours, theirs in rules]


def published(model: str, options: Mapping[str, Any], rules: Rules) -> dict[str, Tensor]:
    """Return the state dict of a model of ours under published names; every entry has exactly one rule."""
    return {renamed(key, rules): value for key, value in on_meta(model, options).items()}


def on_meta(model: str, options: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the state dict of a model of ours, shapes alone."""
    with torch.device("meta"):
        return find_model(model)(**options).state_dict()


def assert_recognized(found: Any, model: str, options: Mapping[str, Any]) -> None:
    """Assert that a reader found the model, its options, and every entry in its shape."""
    assert found is not None
    assert found.model == model
    assert {key: found.options[key] for key in options} == dict(options)
    expected = {key: value.shape for key, value in on_meta(model, options).items()}
    assert {key: value.shape for key, value in found.state.items()} == expected
