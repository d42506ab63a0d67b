"""Where a training runs: accelerator, devices, nodes, strategy."""

from dataclasses import dataclass


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
