"""Where a training runs: accelerator, devices, nodes, strategy."""

from dataclasses import dataclass

import torch

from densekd.errors import UserError


@dataclass(frozen=True)
class Launch:
    """Where to run; each value reaches Lightning's Trainer as it is.

    Args:
        accelerator: ``auto``, ``cpu``, ``gpu``, ...
        devices: a number, a list as ``0,2``, or ``auto``.
        nodes: number of machines.
        strategy: ``auto``, ``ddp``, ``fsdp``, ...
    """

    accelerator: str = "auto"
    devices: str = "auto"
    nodes: int = 1
    strategy: str = "auto"


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
    if not parts or not all(part.isdigit() for part in parts) or devices == "0":
        raise UserError(f"--devices {devices}: write a number of devices, a list as 0,2, or auto.")
    # A trailing comma makes a list of one, as for Lightning.
    return int(devices) if devices.isdigit() else len(parts)
