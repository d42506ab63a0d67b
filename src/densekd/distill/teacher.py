"""A teacher that stays as it is, and says what it sees as cheaply as it can."""

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from densekd.distill.taps import Compile, Taps

Precision = Literal["training", "32", "bf16"]


class FrozenTeacher(nn.Module):
    """A teacher frozen for good: evaluation mode whatever calls ``.train()``, no gradient, absent from checkpoints.

    From its second call on nothing behind the deepest tap is run.

    Args:
        model: the teacher; its parameters stop requiring gradients.
        paths: the taps that are read.
        precision: ``training``: as around it; ``32``, or ``bf16``: autocast of its own.
        compile: see :class:`densekd.distill.taps.Taps`.
    """

    def __init__(
        self, model: nn.Module, paths: Iterable[str], precision: Precision = "training", compile: Compile = "none"
    ) -> None:
        super().__init__()
        self.model = model.requires_grad_(False)
        self.precision = precision
        self._taps = Taps(model, paths, compile)
        self._looked = False
        self.train(False)
        self.register_state_dict_post_hook(_drop_own_state)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_supply_own_state)  # type: ignore[no-untyped-call]

    def train(self, mode: bool = True) -> "FrozenTeacher":
        """Stay in evaluation mode."""
        del mode
        return super().train(False)

    # Not inference mode: its tensors may not be saved for the backward pass of a loss they enter.
    @torch.no_grad()
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return ``{path: tensor}`` for ``images [B, 3, H, W]`` in [0, 1]."""
        device = images.device.type
        if self.precision == "training":
            return self._look(images)
        with torch.autocast(device, torch.bfloat16, enabled=self.precision == "bf16"):
            return self._look(images)

    def _look(self, images: Tensor) -> dict[str, Tensor]:
        if self._looked:
            return self._taps.look(images)
        # The first pass is whole: it finds modules that run several times, and what is changed in place.
        self._looked = True
        return self._taps(images)[1]


def _drop_own_state(module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    for key in [key for key in state if key.startswith(prefix)]:
        del state[key]


def _supply_own_state(module: nn.Module, state: dict[str, Any], prefix: str, *unused: Any) -> None:
    """Answer a strict load with what is here already, since no checkpoint holds it."""
    own = module.get_submodule("model").state_dict()
    state.update({f"{prefix}model.{key}": value for key, value in own.items()})
