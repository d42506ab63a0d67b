"""Published models by their keys alone: weights filled by the rule of ``golden/models/README.md``, and stored outputs.

``DENSEKD_GOLDEN`` names another folder that holds ``models/<name>/``.
"""

import json
import os
import re
import zlib
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

FOLDER = Path(os.environ.get("DENSEKD_GOLDEN", Path(__file__).parents[1] / "golden")) / "models"

Rules = Sequence[tuple[str, str]]


def read_json(model: str, file: str) -> dict[str, Any]:
    """Return ``facts.json`` or ``keys.json`` of one model."""
    content: dict[str, Any] = json.loads((FOLDER / model / file).read_text(encoding="utf-8"))
    return content


def stored(model: str) -> dict[str, Tensor]:
    """Return the input, outputs and features of one model."""
    return load_file(FOLDER / model / "io.safetensors")


def published_state(model: str) -> dict[str, Tensor]:
    """Return the state dict of one model under its published names."""
    return {key: fill(key, shape) for key, (shape, _) in read_json(model, "keys.json").items()}


def fill(key: str, shape: list[int]) -> Tensor:
    """Return the values of one entry, a function of its key and shape only."""
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode())))
    leaf = key.rpartition(".")[2]
    if leaf in ("num_batches_tracked", "relative_position_index"):
        return torch.zeros(shape, dtype=torch.int64)
    if leaf == "project":
        return torch.arange(shape[0]).float()
    if leaf == "running_var":
        values: Any = rng.uniform(0.5, 1.5, shape)
    elif leaf == "running_mean" or leaf.endswith("bias"):
        values = 0.1 * rng.standard_normal(shape)
    elif leaf == "relative_position_bias_table":
        values = 0.5 * rng.standard_normal(shape)
    elif not shape:
        values = rng.uniform(0.5, 1.5, shape)
    elif len(shape) == 1:
        values = rng.uniform(0.5, 1.5, shape)
        values = np.where(rng.uniform(0, 1, shape) < 0.125, -values, values)
        values = 0.25 * values if key.endswith(".bn3.weight") else values
    else:
        values = rng.standard_normal(shape) * np.sqrt(1.4 / prod(shape[1:]))
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def renamed(name: str, rules: Rules) -> str:
    """Apply the one rule that matches ``name`` in full; the order of the rules has no meaning."""
    found = [re.sub(pattern, ours, name) for pattern, ours in rules if re.fullmatch(pattern, name)]
    assert len(found) == 1, f"{name}: {len(found)} rules match"
    return found[0]


def to_ours(state: Mapping[str, Tensor], rules: Rules) -> dict[str, Tensor]:
    """Rename the entries of a published state dict."""
    ours = {renamed(key, rules): value for key, value in state.items()}
    assert len(ours) == len(state)
    return ours


# Our names of a PSPNet, and TorchDistiller's.
_TORCHDISTILLER: Rules = [
    (r"backbone\.conv1\.0", "conv1"),
    (r"backbone\.conv1\.1", "bn1"),
    (r"backbone\.conv1\.3", "conv2"),
    (r"backbone\.conv1\.4", "bn2"),
    (r"backbone\.conv1\.6", "conv3"),
    (r"backbone\.bn1", "bn3"),
    (r"backbone\.layer", "layer"),
    (r"head\.pyramid\.levels\.(\d)\.0", r"pspmodule.stages.\1.1"),
    (r"head\.pyramid\.levels\.(\d)\.1", r"pspmodule.stages.\1.2"),
    (r"head\.bottleneck", "pspmodule.bottleneck"),
    (r"head\.classifier", "head"),
    (r"auxiliary\.conv", "dsn"),
    (r"auxiliary\.classifier", "dsn.3"),
]


def torchdistiller_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a PSPNet of ours as TorchDistiller publishes them."""
    published = {}
    for key, value in state.items():
        if "num_batches" in key:
            continue
        names = [re.sub(rf"^{ours}", theirs, key) for ours, theirs in _TORCHDISTILLER if re.match(ours, key)]
        assert len(names) == 1, key
        published[names[0]] = value
    return published
