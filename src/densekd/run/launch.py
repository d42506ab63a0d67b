"""Where a training runs: accelerator, devices, nodes, strategy."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec

import torch

from densekd.errors import RecipeError, UserError, suggest
from densekd.memory import SHARED

_ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps", "tpu")
# Strategies that Lightning runs on GPUs alone, by the beginning of their names.
_OF_GPUS = ("fsdp", "deepspeed", "model_parallel")


@dataclass(frozen=True)
class Launch:
    """Where to run; each value reaches Lightning's Trainer as it is.

    Args:
        accelerator: ``auto``, ``cpu``, ``gpu``, ``cuda``, ``mps`` or ``tpu``.
        devices: a number, a list as ``0,2``, ``-1`` for all, or ``auto``.
        nodes: number of machines.
        strategy: ``auto``, ``ddp``, ``fsdp``, ... of Lightning's.
    """

    accelerator: str = "auto"
    devices: str = "auto"
    nodes: int = 1
    strategy: str = "auto"

    def require_possible(self) -> None:
        """Check that this machine can run a training so, before anything else is done.

        Raises:
            RecipeError: a name or number that is none.
            UserError: an accelerator or devices that this machine does not have.
        """
        if self.accelerator not in _ACCELERATORS:
            known = suggest(self.accelerator, _ACCELERATORS)
            raise RecipeError(f"--accelerator {self.accelerator}: unknown accelerator. {known}")
        if self.nodes < 1:
            raise RecipeError(f"--nodes {self.nodes}: the number of machines, at least 1.")
        port = os.environ.get("MASTER_PORT", "1")
        if not port.isdecimal() or not 0 < int(port) < 1 << 16:
            raise RecipeError(f"MASTER_PORT={port}: the environment must name a port, a number from 1 to 65535.")
        self._require_accelerator()
        self._require_devices()
        self._require_strategy()

    def processes(self) -> int:
        """Return how many processes a training runs in, on all machines; nothing is started.

        Raises:
            UserError: accelerator, devices and strategy that Lightning does not run together.
        """
        # Lightning takes two seconds to import, and models are placed without it.
        import lightning as L
        from lightning.fabric.utilities.exceptions import MisconfigurationException

        devices = int(self.devices) if self.devices.isdigit() else self.devices
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        where = {"accelerator": self.accelerator, "num_nodes": self.nodes, "strategy": self.strategy}
        try:
            trainer = L.Trainer(devices=devices, enable_model_summary=False, **where, **quiet)  # type: ignore[arg-type]
        except (MisconfigurationException, ImportError, TypeError, ValueError) as error:
            asked = f"--accelerator {self.accelerator} --devices {self.devices} --strategy {self.strategy}"
            raise UserError(f"{asked}: Lightning cannot run this: {error}") from error
        return trainer.world_size

    def _require_accelerator(self) -> None:
        has_cuda, has_mps = torch.cuda.is_available(), torch.backends.mps.is_available()
        found = {
            "auto": True,
            "cpu": True,
            "gpu": has_cuda or has_mps,
            "cuda": has_cuda,
            "mps": has_mps,
            "tpu": find_spec("torch_xla") is not None,
        }
        if found[self.accelerator]:
            return
        here = [name for name, is_here in found.items() if is_here]
        raise UserError(
            f"--accelerator {self.accelerator}: this machine has none that torch {torch.__version__} can use. "
            f"Here there is: {', '.join(here)}."
        )

    def _require_devices(self) -> None:
        """Check number or list of devices against those of this machine."""
        if self.devices == "-1":
            return
        count_devices(self.devices)
        there = self._gpus()
        asked = [int(part) for part in self.devices.split(",") if part.isdigit()]
        if self.devices == "auto":
            return
        if not self.devices.isdigit():
            if there is None:
                raise RecipeError(f"--devices {self.devices}: a list chooses among GPUs; write how many processes.")
            missing = [number for number in asked if number >= there]
        else:
            missing = [] if there is None or asked[0] <= there else asked
        if missing:
            raise UserError(f"--devices {self.devices}: this machine has {there} GPUs, counted from 0.")

    def _gpus(self) -> int | None:
        """Return the GPUs to choose from; None where the training runs on the processor or a TPU."""
        if self.accelerator in ("cpu", "tpu"):
            return None
        if self.accelerator != "mps" and torch.cuda.is_available():
            return torch.cuda.device_count()
        return 1 if torch.backends.mps.is_available() else None

    def _require_strategy(self) -> None:
        from lightning.pytorch.strategies import StrategyRegistry

        known = ("auto", *StrategyRegistry.available_strategies())
        if self.strategy not in known:
            raise RecipeError(f"--strategy {self.strategy}: unknown strategy. {suggest(self.strategy, known)}")
        on_gpus = self.accelerator != "cpu" and torch.cuda.is_available()
        if self.strategy.startswith(_OF_GPUS) and not on_gpus:
            raise UserError(f"--strategy {self.strategy} needs GPUs, and this training runs without; ddp does not.")


@contextmanager
def sharing_memory(launch: Launch) -> Iterator[None]:
    """Tell this process and those that it starts how many of them share the memory of this machine."""
    alone = launch.accelerator == "cpu" and launch.devices == "auto"
    everyone = str(max(1, torch.cuda.device_count())) if launch.devices == "-1" else launch.devices
    before = os.environ.get(SHARED)
    os.environ[SHARED] = "1" if alone else str(count_devices(everyone))
    try:
        yield
    finally:
        if before is None:
            del os.environ[SHARED]
        else:
            os.environ[SHARED] = before


def count_devices(devices: str) -> int:
    """Return how many devices a value of ``--devices`` means on this machine.

    Args:
        devices: a number, a list as ``0,2``, or ``auto``: every GPU, or the processor.

    Raises:
        UserError: none of these.
    """
    if devices == "auto":
        return max(1, torch.cuda.device_count())
    parts = [part for part in devices.split(",") if part]
    if not parts or not all(part.isdecimal() for part in parts) or (devices.isdecimal() and int(devices) == 0):
        raise UserError(f"--devices {devices}: write a number of devices, a list as 0,2, or auto.")
    # A trailing comma makes a list of one, as for Lightning.
    return int(devices) if devices.isdecimal() else len(parts)
