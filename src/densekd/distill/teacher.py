"""Frozen teacher: evaluation mode, no gradient, no checkpoint, stops at its deepest tap."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from densekd.distill.shared_passes import SharedPasses
from densekd.distill.taps import Compile, Taps
from densekd.errors import RecipeError

Precision = Literal["training", "32", "bf16", "fp16"]
_HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class FrozenTeacher(nn.Module):
    """Teacher frozen for good: always in evaluation mode, no gradient, in no checkpoint.

    From its second call on the model is run no further than the deepest tap.

    Args:
        model: the teacher; its parameters stop requiring gradients.
        paths: the taps that are read.
        precision: ``training``: as around it; ``32``; ``bf16`` or ``fp16``: mixed precision of its own.
        compile: see :class:`densekd.distill.taps.Taps`.
    """

    def __init__(
        self,
        model: nn.Module,
        paths: Iterable[str],
        precision: Precision = "training",
        compile: Compile = "none",
    ) -> None:
        super().__init__()
        self.model = model.requires_grad_(False)
        self.precision = precision
        self._taps = Taps(model, paths, compile)
        self._checked = False
        self._shared: SharedPasses | None = None
        self._of_all: Taps | None = None
        self.train(False)
        self.register_state_dict_post_hook(_drop_own_state)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_supply_own_state)  # type: ignore[no-untyped-call]

    def train(self, mode: bool = True) -> "FrozenTeacher":
        """Stay in evaluation mode."""
        del mode
        return super().train(False)

    def hooks(self) -> AbstractContextManager[None]:
        """Register the hooks of the taps for several calls; see :meth:`densekd.distill.taps.Taps.hooks`."""
        return self._taps.hooks()

    def share(self, passes: SharedPasses) -> None:
        """Read one pass together with other teachers, which must have the same weights and precision."""
        passes.add(self._taps.specs)
        self._shared = passes

    # Not inference mode: its tensors may not be saved for the backward pass of a loss they enter.
    @torch.no_grad()
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return ``{path: tensor}`` for ``images [B, 3, H, W]`` in [0, 1]."""
        with teacher_precision(self.precision, images.device.type):
            if self._shared is not None:
                return self._shared_features(images, self._shared)
            return self._own_features(images)

    def _own_features(self, images: Tensor) -> dict[str, Tensor]:
        # A graph of torch.compile holds the whole pass anyway.
        if self._checked or torch.compiler.is_compiling():
            return self._taps.extract(images)
        # The first pass is whole: it finds modules that run several times, and what is changed in
        # place.
        self._checked = True
        return self._taps(images)[1]

    def _shared_features(self, images: Tensor, passes: SharedPasses) -> dict[str, Tensor]:
        """Return what another teacher has computed, or compute it for all."""
        found = passes.find(images, self._taps.specs)
        if found is not None:
            return found
        try:
            passes.keep(images, self._features_of_all(images, passes))
        except RecipeError:
            # A tap of another training cannot be read; it will say so itself.
            return self._own_features(images)
        return passes.find(images, self._taps.specs) or {}

    def _features_of_all(self, images: Tensor, passes: SharedPasses) -> dict[str, Tensor]:
        """Run the model as far as the deepest tap of all trainings."""
        if self._of_all is not None and list(self._of_all.specs) == passes.paths:
            return self._of_all.extract(images)
        # A first pass is whole, as above.
        taps = Taps(self.model, passes.paths)
        features = taps(images)[1]
        self._of_all = taps
        return features


@contextmanager
def teacher_precision(precision: Precision, device: str) -> Iterator[None]:
    """Run in the teacher's precision: autocast of its own, or whatever is around it.

    Args:
        precision: see :class:`FrozenTeacher`.
        device: type of the tensors' device.
    """
    if precision == "training":
        yield
        return
    with torch.autocast(device, _HALVES.get(precision, torch.bfloat16), enabled=precision in _HALVES):
        yield


def _drop_own_state(module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    """Leave the teacher out of a checkpoint."""
    for key in [key for key in state if key.startswith(prefix)]:
        del state[key]


def _supply_own_state(module: nn.Module, state: dict[str, Any], prefix: str, *unused: Any) -> None:
    """Answer a strict load with what is here already, since no checkpoint holds it."""
    own = module.get_submodule("model").state_dict()
    for key, value in own.items():
        state[f"{prefix}model.{key}"] = value
