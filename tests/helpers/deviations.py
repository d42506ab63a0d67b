"""How far declared deviations from released code carry: three steps with and without them.

``python tests/helpers/deviations.py`` prints the numbers that ``docs/decisions.md`` quotes.
"""

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from dynamics import SYSTEMS, System, built_system, learning, take_steps
from torch import Tensor

from densekd.losses.adversarial.sagan import SpectralConv


class OverwrittenVectors(torch.autograd.Function):
    """``u . W v``, differentiated with whatever the buffers hold when the backward pass reads them."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, u: Tensor, v: Tensor) -> Tensor:
        ctx.vectors = u, v
        return u @ (matrix @ v)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        u, v = ctx.vectors
        return gradients[0] * torch.outer(u.clone(), v.clone()), None, None


def forward_as_released(self: SpectralConv, x: Tensor) -> Tensor:
    """Convolve; the next forward overwrites the vectors that this one's backward pass reads."""
    if self.training:
        self._iterate()
    sigma = OverwrittenVectors.apply(self.weight.flatten(1), self.u, self.v)
    return F.conv2d(x, self.weight / sigma, self.bias, stride=2, padding=1)


def after_steps(
    system: System, around: AbstractContextManager[Any]
) -> tuple[list[dict[str, float]], dict[str, Tensor]]:
    """Return losses and weights of three steps taken inside a context."""
    with tempfile.TemporaryDirectory() as folder, around:
        built = built_system(system, Path(folder))
        losses = take_steps(built, system.start)["losses"]
        weights = {name: parameter.detach().clone() for name, parameter in learning(built.distiller)}
    return losses, weights


def compare(title: str, ours: System, theirs: System, around: AbstractContextManager[Any]) -> None:
    """Print relative differences of losses, and of what three steps changed in the weights."""
    losses, weights = after_steps(ours, nullcontext())
    other_losses, other_weights = after_steps(theirs, around)
    print(title)
    for n, (one, other) in enumerate(zip(losses, other_losses, strict=True), 1):
        changed = {name: other[name] / value - 1 for name, value in one.items() if other[name] != value}
        print(f"  step {n}: " + (", ".join(f"{name} {value:+.2e}" for name, value in changed.items()) or "equal"))
    parts: dict[str, Callable[[str], bool]] = {
        "student": lambda name: name.startswith("student."),
        "adapters, projections, discriminators": lambda name: name.startswith("terms."),
    }
    for part, belongs in parts.items():
        names = [name for name in weights if belongs(name)]
        apart = torch.stack([(weights[name] - other_weights[name]).square().sum() for name in names]).sum().sqrt()
        size = torch.stack([weights[name].square().sum() for name in names]).sum().sqrt()
        print(f"  weights of {part}: {float(apart / size):.2e} of their norm apart")


def main() -> None:
    """Print all declared deviations that can be switched."""
    torch.set_num_threads(1)
    adversarial = SYSTEMS["torchdistiller"]
    compare(
        "singular vectors: overwritten before the backward pass, as released",
        adversarial,
        adversarial,
        patch.object(SpectralConv, "forward", forward_as_released),
    )
    for name in ("cirkd", "cirkdv2"):
        system = SYSTEMS[name]
        terms = {method: dict(options) for method, options in system.terms.items()}
        terms["cirkd_memory"]["enqueue"] = "as_released"
        compare(
            f"{name}: queues without the class mask, as released", system, replace(system, terms=terms), nullcontext()
        )


if __name__ == "__main__":
    main()
