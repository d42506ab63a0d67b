"""Table of the Triton kernels: registers, spills and least bytes of every configuration of a launcher."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from densekd.kernels.compiled import Compiled, compile_launch
from densekd.kernels.triton.launch import Launch, recorded
from densekd.ops.groups import Groups
from densekd.ops.interpolation import Upsample

KERNELS = ("channel_kl", "pixel_kl", "resized_channel_kl", "resized_cross_entropy", "resized_pixel_kl")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
LAYOUTS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}
CHANNELS = (19, 150, 512, 1024, 4096)
# Images, height and width of the maps, and how much the resized kernels upsample them.
_BATCH, _HEIGHT, _WIDTH, _SCALE = 16, 64, 128, 8


class Case(NamedTuple):
    """A kernel, and the maps that its launcher is asked about.

    Args:
        kernel: its name.
        dtype: ``fp32``, ``bf16`` or ``fp16``.
        layout: ``contiguous`` or ``channels-last``.
        channels: of both maps.
    """

    kernel: str
    dtype: str
    layout: str
    channels: int


@dataclass(frozen=True)
class Row:
    """One launch of one case.

    Args:
        kernel: name of the kernel and of the function that is launched.
        configuration: precision, layout, channels; constants and warps of the launch.
        registers: of each thread.
        spill_bytes: of each thread, stored and loaded.
        shared_bytes: of each program.
        occupancy: share of a multiprocessor's warps that are resident.
        programs: of the launch.
        least_bytes: bytes of the tensors that the launch reads or writes, each counted once.
        least_microseconds: these bytes at the bandwidth that was given.
    """

    kernel: str
    configuration: str
    registers: int
    spill_bytes: int
    shared_bytes: int
    occupancy: float
    programs: int
    least_bytes: int
    least_microseconds: float


def cases() -> Iterator[Case]:
    """Yield every case that a kernel takes."""
    for kernel in KERNELS:
        for dtype in DTYPES:
            for layout in LAYOUTS:
                for channels in CHANNELS:
                    case = Case(kernel, dtype, layout, channels)
                    if taken(case):
                        yield case


def taken(case: Case) -> bool:
    """Tell whether the kernel, not the blocked formula, takes so many channels."""
    from densekd.kernels.triton import pixel_kl, resized_cross_entropy, resized_pixel_kl

    most = {
        "pixel_kl": pixel_kl.MAX_CHANNELS,
        "resized_cross_entropy": resized_cross_entropy.MAX_CHANNELS,
        "resized_pixel_kl": resized_pixel_kl.MAX_CHANNELS,
    }
    return case.channels <= most.get(case.kernel, case.channels)


def launches(case: Case) -> list[Launch]:
    """Ask the launcher itself what it would run, on tensors that hold nothing.

    Of launches that differ in their images alone the first is returned.
    """
    calls = _calls()[case.kernel]
    found: dict[tuple[str, str], Launch] = {}
    for call in calls:
        with recorded() as record:
            call(_map(case, _HEIGHT, _WIDTH), _map(case, _HEIGHT, _WIDTH))
        for launch in record:
            found.setdefault((launch.function.__name__, configuration_of(case, launch)), launch)
    return list(found.values())


def _map(case: Case, height: int, width: int) -> Tensor:
    shape = (_BATCH, case.channels, height, width)
    x = torch.empty(shape, dtype=DTYPES[case.dtype], device="meta")
    return x.to(memory_format=LAYOUTS[case.layout])


Call = Callable[[Tensor, Tensor], Any]


def _calls() -> dict[str, tuple[Call, ...]]:
    """Return for each kernel calls that reach all of its functions, with student and teacher."""
    from densekd.kernels.triton import channel_kl, pixel_kl, resized_channel_kl, resized_cross_entropy, resized_pixel_kl

    to = Upsample((_HEIGHT * _SCALE, _WIDTH * _SCALE))
    labels = torch.empty(_BATCH, *to.size, dtype=torch.int64, device="meta")
    return {
        "channel_kl": (
            lambda s, t: channel_kl.channel_kl(s, t, 1.0, Groups()),
            lambda s, t: channel_kl.channel_kl(s, t, 1.0, Groups(2)),
        ),
        "pixel_kl": (lambda s, t: pixel_kl.pixel_kl(s, t, 1.0),),
        "resized_channel_kl": (
            lambda s, t: resized_channel_kl.resized_channel_kl(s, t, to, 1.0, Groups()),
            # A teacher of another size.
            lambda s, t: resized_channel_kl.resized_channel_kl(s, t[..., 1:, 1:], to, 1.0, Groups()),
        ),
        "resized_cross_entropy": (
            lambda s, t: resized_cross_entropy.resized_cross_entropy(s, labels, None, 255, False),
        ),
        "resized_pixel_kl": (
            lambda s, t: resized_pixel_kl.resized_pixel_kl(s, t, to, 1.0, None),
            lambda s, t: resized_pixel_kl.resized_pixel_kl(s, t[..., 1:, 1:], to, 1.0, None),
        ),
    }


def rows(case: Case, architecture: str, bandwidth: float) -> Iterator[Row]:
    """Compile the launches of a case.

    Args:
        case: see :func:`cases`.
        architecture: ``sm_80``, ``sm_90`` or ``sm_100``.
        bandwidth: of the device's memory, in GB/s.
    """
    for launch in launches(case):
        name = (f"{case.kernel}.{launch.function.__name__.lstrip('_')}", configuration_of(case, launch))
        compiled = compile_launch(launch, architecture)
        yield _row(name, launch, compiled, bandwidth)


def _row(name: tuple[str, str], launch: Launch, compiled: Compiled, bandwidth: float) -> Row:
    programs = 1
    for length in launch.grid:
        programs *= length
    least = least_bytes(launch)
    return Row(
        *name,
        compiled.registers,
        compiled.spill_bytes,
        compiled.shared_bytes,
        compiled.occupancy,
        programs,
        least,
        round(least / bandwidth / 1e3, 2),
    )


def configuration_of(case: Case, launch: Launch) -> str:
    """Describe a launch: precision, layout, channels; its constants and warps."""
    constants = []
    for parameter in launch.function.params:
        if parameter.is_constexpr:
            constants.append(f"{parameter.name}={launch.arguments[parameter.name]}")
    return f"{case.dtype} {case.layout} C={case.channels} {' '.join(constants)} warps={launch.warps}"


def least_bytes(launch: Launch) -> int:
    """Return the bytes of the tensors that a launch reads or writes, each counted once."""
    total = 0
    for value in launch.arguments.values():
        if isinstance(value, Tensor):
            numel = 1
            for length, stride in zip(value.shape, value.stride(), strict=True):
                # Along an axis that was expanded there is but one element.
                numel *= length if stride else 1
            total += numel * value.element_size()
    return total
