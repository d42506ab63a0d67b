"""The machine that a proposal is for: its device and memory, and the time that a model takes there."""

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from densekd.hardware import cpu_has_bf16, usable_cores

_WARM_UP = 2
_REPEATS = 5


@dataclass(frozen=True)
class Machine:
    """What trains.

    Args:
        kind: of the device.
        name: of it, for people.
        memory: of the device, in GB; of a CPU, that of the machine.
        bf16: whether the device computes in bfloat16 faster than in float32.
    """

    kind: Literal["cpu", "cuda", "mps"]
    name: str
    memory: float
    bf16: bool

    @property
    def device(self) -> torch.device:
        """Where models are timed."""
        return torch.device(self.kind)


def this_machine() -> Machine:
    """Describe the device that a training here would use."""
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        return Machine("cuda", properties.name, properties.total_memory / 1e9, properties.major >= 8)
    if torch.backends.mps.is_available():
        return Machine("mps", "Apple GPU", _memory(), False)
    cores = usable_cores()
    return Machine("cpu", f"CPU with {cores} core{'s' if cores != 1 else ''}", _memory(), cpu_has_bf16())


def milliseconds(model: nn.Module, size: tuple[int, int], machine: Machine) -> float:
    """Measure the median time of a prediction of one image, in milliseconds.

    Args:
        model: takes float RGB ``[1, 3, H, W]``.
        size: H and W.
        machine: this one.
    """
    model = model.eval().to(machine.device)
    image = torch.rand(1, 3, *size, device=machine.device)
    with torch.inference_mode():
        return _median(lambda: model(image), machine)


def step_milliseconds(student: nn.Module, teacher: nn.Module | None, images: Tensor, machine: Machine) -> float:
    """Measure the median time of one training step without its data, in milliseconds.

    Args:
        student: learns; its largest output stands for a loss.
        teacher: predicts the same images; None for a training without one.
        images: ``[B, 3, H, W]``.
        machine: this one.
    """
    student = student.train().to(machine.device)
    images = images.to(machine.device)
    if teacher is not None:
        teacher = teacher.eval().to(machine.device)

    def step() -> None:
        if teacher is not None:
            with torch.no_grad():
                teacher(images)
        sum(output.square().mean() for output in _tensors(student(images))).backward()  # type: ignore[union-attr]

    return _median(step, machine)


def _tensors(output: object) -> list[Tensor]:
    """Return all tensors of an output, which may be nested."""
    if isinstance(output, Tensor):
        return [output]
    if isinstance(output, dict):
        output = list(output.values())
    found: list[Tensor] = []
    if isinstance(output, (list, tuple)):
        for one in output:
            found += _tensors(one)
    return found


def _median(run: Callable[[], object], machine: Machine) -> float:
    for _ in range(_WARM_UP):
        run()
    times = []
    for _ in range(_REPEATS):
        _wait(machine)
        begun = time.perf_counter()
        run()
        _wait(machine)
        times.append(time.perf_counter() - begun)
    return 1000 * statistics.median(times)


def _wait(machine: Machine) -> None:
    """Wait until the device has done what it was given."""
    if machine.kind == "cuda":
        torch.cuda.synchronize()
    elif machine.kind == "mps":
        torch.mps.synchronize()


def _memory() -> float:
    """Return the memory of the machine in GB; 8 where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (AttributeError, OSError, ValueError):
        return 8.0
