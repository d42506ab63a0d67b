"""Golden vectors of distillation losses: what ``golden/losses/README.md`` describes, as objects.

``DENSEKD_GOLDEN`` names another folder that holds ``losses/manifest.json`` and its tensors.
"""

import json
import os
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

FOLDER = Path(os.environ.get("DENSEKD_GOLDEN", Path(__file__).parents[1] / "golden")) / "losses"
MANIFEST: dict[str, Any] = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Probe:
    """One output of one case in our terms: ``factor * module(student, teacher, target) + offset``.

    Args:
        module: the loss.
        student: computed from the case's inputs and ``parameters``; a tuple where the loss takes one.
        teacher: the same.
        target: the same, or None.
        factor: weights and divisors that the original multiplies in and we leave to the term.
        offset: what the original adds and no gradient sees.
        parameters: the original's name -> our tensor, for ``param:`` gradients.
        buffers: the original's name -> our tensor, for ``buffers_after``.
    """

    module: nn.Module
    student: Any
    teacher: Any
    target: Tensor | None = None
    factor: float = 1.0
    offset: Tensor | float = 0.0
    parameters: Mapping[str, Tensor] = field(default_factory=dict)
    buffers: Mapping[str, Tensor] = field(default_factory=dict)

    def value(self) -> Tensor:
        loss: Tensor = self.module(self.student, self.teacher, self.target)
        return self.factor * loss + self.offset


Outputs = dict[str, Probe]
Method = Callable[..., Outputs]


class Case:
    """One case of the manifest in one precision.

    Args:
        entry: its JSON.
        dtype: of every floating point tensor.
    """

    def __init__(self, entry: Mapping[str, Any], dtype: torch.dtype) -> None:
        self.entry = entry
        self.dtype = dtype
        self.inputs: dict[str, Tensor] = {}
        roles = {role: self._role(role, spec) for role, spec in entry.get("inputs", {}).items()}
        self.student: Any = roles.get("student")
        self.teacher: Any = _detached(roles.get("teacher"))

    def outputs(self, methods: Mapping[str, Method]) -> Outputs:
        """Build the probes; a hyper-parameter that the method's function does not name is a TypeError."""
        return methods[self.entry["method"]](self, **self.entry["hyperparameters"])

    def weights(self, prefix: str) -> dict[str, Tensor]:
        """Return the original's parameters whose names start with ``prefix``, for ``load_state_dict``."""
        found = {name: spec for name, spec in self.entry["weights"].items() if name.startswith(prefix)}
        return {name.removeprefix(prefix): self._weight(name, spec) for name, spec in found.items()}

    def labels_as_map(self) -> Tensor:
        """Return the labels of a case whose pixels are flattened, ``[B, H, W]``."""
        B, _, H, W = self.student.shape
        return self.inputs["labels"].view(B, H, W)

    def read(self, key: str) -> Tensor:
        """Return a stored tensor in the case's precision."""
        tensor = _tensors(self.entry["tensors_file"])[key]
        return tensor.to(self.dtype) if tensor.is_floating_point() else tensor

    def _role(self, role: str, spec: Any) -> Any:
        """Read a role into ``inputs``; the items of a list are called ``student.0``, ``student.1``, ..."""
        if isinstance(spec, list):
            return tuple(self._role(f"{role}.{k}", item) for k, item in enumerate(spec))
        self.inputs[role] = self._input(spec)
        return self.inputs[role]

    def _input(self, spec: Mapping[str, Any]) -> Tensor:
        filled = "fill" in spec
        tensor = fill_input(spec["fill"], spec["shape"]).to(self.dtype) if filled else self.read(spec["key"])
        return tensor.clone().requires_grad_() if tensor.is_floating_point() else tensor

    def _weight(self, name: str, spec: Mapping[str, Any]) -> Tensor:
        if "key" in spec:
            return self.read(spec["key"])
        filled = fill_parameter(name, spec["shape"])
        assert filled.double().sum().item() == pytest.approx(spec["sum"], rel=1e-9, abs=1e-6)
        return filled.to(self.dtype)


class Sum(nn.Module):
    """Several terms on the same tensors, as a recipe would list them."""

    def __init__(self, *terms: tuple[float, nn.Module]) -> None:
        super().__init__()
        self.weights = [weight for weight, _ in terms]
        self.losses = nn.ModuleList(loss for _, loss in terms)

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None) -> Tensor:
        values = [w * loss(student, teacher, target) for w, loss in zip(self.weights, self.losses, strict=True)]
        return sum(values[1:], values[0])


def compare(case: Case, outputs: Mapping[str, Probe], documented: set[str]) -> None:
    """Assert values, gradients and buffers at the manifest's tolerances.

    Args:
        case: what to agree with.
        outputs: what we have; every expected output must be there.
        documented: names of outputs that are not ours to reproduce.
    """
    expected = case.entry["expected"]
    assert set(outputs) == set(expected["outputs"]) - documented
    precision = "float64" if case.dtype == torch.float64 else "float32"
    for name, probe in outputs.items():
        value = probe.value()
        rtol = case.entry["tolerance"][f"rtol_loss_{precision}"]
        assert value.item() == pytest.approx(expected["outputs"][name]["float64"], rel=rtol, abs=1e-12), name
        _compare_gradients(case, probe, value, expected["gradients"][name])
        for buffer, spec in expected.get("buffers_after", {}).items():
            rtol, atol = (1e-9, 1e-12) if precision == "float64" else (1e-4, 1e-6)
            torch.testing.assert_close(probe.buffers[buffer], case.read(spec["key"]), rtol=rtol, atol=atol)


def _compare_gradients(case: Case, probe: Probe, value: Tensor, expected: Mapping[str, Any]) -> None:
    wanted = {name: spec for name, spec in expected.items() if spec is None or spec.get("compare", True)}
    leaves = [
        probe.parameters[name.removeprefix("param:")] if name.startswith("param:") else case.inputs[name]
        for name in wanted
    ]
    gradients = torch.autograd.grad(value, leaves, allow_unused=True, retain_graph=True)
    for (name, spec), gradient in zip(wanted.items(), gradients, strict=True):
        if spec is None:
            assert gradient is None, f"{name}: the original has no gradient path"
            continue
        assert gradient is not None, f"{name}: no gradient"
        assert list(gradient.shape) == spec["shape"]
        _compare_gradient(case, gradient, spec)


def _compare_gradient(case: Case, gradient: Tensor, spec: Mapping[str, Any]) -> None:
    if spec.get("numerically_zero"):
        assert gradient.abs().max().item() < 1e-6
        return
    rtol, atol = (1e-6, 1e-8) if case.dtype == torch.float64 else (1e-3, 1e-5)
    if "key" in spec:
        wanted = _tensors(case.entry["tensors_file"])[spec["key"]].double()
    else:
        wanted = torch.tensor(spec["sample_value"], dtype=torch.float64)
        assert gradient.double().norm().item() == pytest.approx(spec["l2"], rel=rtol)
        gradient = gradient.flatten()[torch.tensor(spec["sample_index"])]
    torch.testing.assert_close(gradient.double(), wanted, rtol=rtol, atol=atol * wanted.abs().max().item())


def hash_fill(name: str, n: int, scale: float) -> Tensor:
    """Return ``n`` portable pseudo-random numbers in ``[-scale, scale)``, float32; the rule is the README's."""
    x = np.arange(n, dtype=np.uint32) * np.uint32(2654435761) + np.uint32(zlib.crc32(name.encode("ascii")))
    x = (x ^ (x >> 16)) * np.uint32(2246822519)
    x = (x ^ (x >> 13)) * np.uint32(3266489917)
    x ^= x >> 16
    return torch.from_numpy((scale * (2.0 * x.astype(np.float64) / 2**32 - 1)).astype(np.float32))


def fill_parameter(name: str, shape: list[int]) -> Tensor:
    """Fill a parameter by its name and shape."""
    if len(shape) > 1:
        return hash_fill(name, prod(shape), (3 / prod(shape[1:])) ** 0.5).view(shape)
    if name.endswith(("weight", "gamma")):
        return 1 + hash_fill(name, shape[0], 0.5)
    return hash_fill(name, shape[0], 0.3)


def fill_input(rule: str, shape: list[int]) -> Tensor:
    """Fill an input as ``hash_fill(name="...", scale=...)`` says."""
    found = re.fullmatch(r'hash_fill\(name="([^"]+)", scale=([-+.0-9e]+)\)', rule)
    assert found, rule
    return hash_fill(found[1], prod(shape), float(found[2])).view(shape)


def _detached(value: Any) -> Any:
    return tuple(map(_detached, value)) if isinstance(value, tuple) else value if value is None else value.detach()


@cache
def _tensors(file: str) -> dict[str, Tensor]:
    return load_file(FOLDER / file)
