"""The device that models are scored on: that of the training, or the one that was asked for."""

import torch

from densekd.errors import UserError
from densekd.run.launch import Launch

AUTO = "auto"


def training_device(launch: Launch | None = None) -> torch.device:
    """Return the device of a training's first process.

    Args:
        launch: where it runs; None: as ``auto``.

    Returns:
        The first of its GPUs; the processor where it runs there, and where it runs on an accelerator
        whose scores were never compared with the processor's (MPS, TPU).
    """
    launch = launch or Launch()
    if launch.accelerator not in ("auto", "gpu", "cuda") or not torch.cuda.is_available():
        return torch.device("cpu")
    chosen = [part for part in launch.devices.split(",") if part]
    # A list names GPUs, a number counts them.
    is_list = "," in launch.devices and chosen[0].isdecimal()
    return torch.device("cuda", int(chosen[0]) if is_list else 0)


def training_kind(launch: Launch) -> str:
    """Return the kind of a training's devices: ``cuda``, ``mps``, ``tpu`` or ``cpu``; ``auto`` takes the first."""
    found = {
        "cuda": launch.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available(),
        "mps": launch.accelerator in ("auto", "gpu", "mps") and torch.backends.mps.is_available(),
        "tpu": launch.accelerator == "tpu",
    }
    return next((kind for kind, is_it in found.items() if is_it), "cpu")


def named_device(name: str) -> torch.device:
    """Return the device of ``--device``.

    Args:
        name: ``auto``, a GPU where there is one; ``cpu``, ``cuda``, ``cuda:1``, ``mps``.

    Raises:
        UserError: no such device, or not on this machine.
    """
    if name == AUTO:
        return training_device()
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"--device {name}: no device; write auto, cpu, cuda, cuda:1 or mps.") from error
    there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if (device.index or 0) >= there.get(device.type, 0):
        here = [kind for kind, count in there.items() if count]
        raise UserError(f"--device {name}: is not on this machine. Here there is: {', '.join(here)}.")
    return device
