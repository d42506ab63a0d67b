"""Probing: one forward pass without gradient or trace, to measure the shapes of tapped tensors."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from densekd.distill.taps import Taps


def probe(model: nn.Module, paths: Iterable[str], images: Tensor) -> dict[str, Tensor]:
    """Return the tapped tensors of one forward pass that leaves no trace in the model."""
    with at_rest(model):
        return Taps(model, dict.fromkeys(paths))(images)[1]


@contextmanager
def at_rest(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode without gradients for a while."""
    mode = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(mode)
