"""First use of a Triton kernel on a device: it is compared with its formula before it is trusted.

A compiler, a driver or a new GPU may break a kernel that passed every test elsewhere. Each kernel
therefore runs once on a small input in the precision and layout that are asked for. Where it does
not compile, differs or hides a NaN, one warning says so, and the formula runs from then on. The
verdict is kept in the user's cache folder for this device, driver and these versions.
"""

import hashlib
import json
import os
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from densekd.ops.groups import Groups
from densekd.ops.interpolation import Upsample

KERNELS = ("channel_kl", "pixel_kl", "resized_channel_kl", "resized_cross_entropy", "resized_pixel_kl")
# Shape of the small input: several tiles' borders in each axis. Its size after upsampling.
_SHAPE = (2, 5, 6, 7)
_SIZE = (17, 13)
_TOLERANCE = 1e-3
# Half-precision gradients are rounded to 8 or 11 bits.
_HALF_TOLERANCE = 2e-2
_DRIVER = Path("/proc/driver/nvidia/version")
# Verdicts of this process.
_known: dict[str, bool] = {}


def agrees(kernel: str, x: Tensor) -> bool:
    """Tell whether a kernel computed the same as its formula on the device of ``x``.

    The first time it is tried, which takes as long as Triton compiles it. While a CUDA graph is
    captured nothing can be tried: what was not tried before is not trusted.

    Args:
        kernel: one of ``KERNELS``.
        x: the student's map: its device, precision and layout count.
    """
    last = x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)
    name = f"{kernel} {str(x.dtype).removeprefix('torch.')} {'channels-last' if last else 'contiguous'}"
    key = f"{name} {_identity(x.device)}"
    if key in _known:
        return _known[key]
    if x.device.type == "cuda" and torch.cuda.is_current_stream_capturing():
        return False
    stored = _read()
    # A failure is tried again: it may have been a full memory or a half-installed driver.
    if stored.get(key) is not True:
        problem = find_problem(kernel, x.device, x.dtype, last)
        _known[key] = problem is None
        _write(key, problem is None)
        if problem is not None:
            warnings.warn(f"The Triton kernel {name} is not used: {problem} Its formula runs instead.", stacklevel=2)
    _known[key] = _known.get(key, True)
    return _known[key]


def runs_formula(kernel: str, arguments: tuple[Any, ...]) -> bool:
    """Tell whether a call must run the formula because its kernel failed on the tensors' device."""
    if kernel not in KERNELS or not arguments:
        return False
    x = arguments[0]
    if not isinstance(x, Tensor) or x.device.type != "cuda" or x.dtype == torch.float64:
        return False
    return not agrees(kernel, x)


def describe(device: torch.device) -> str:
    """Say which kernels run on a device, after all of them were tried in float32 and channels-last."""
    if device.type != "cuda":
        return "formulas in blocks that fit the cache"
    x = torch.empty(_SHAPE, device=device).to(memory_format=torch.channels_last)
    failed = [kernel for kernel in KERNELS if not agrees(kernel, x)]
    name = torch.cuda.get_device_name(device)
    if failed:
        return f"Triton on {name}, but the plain formula for {', '.join(failed)}"
    return f"Triton, {len(KERNELS)} of {len(KERNELS)} agree with their formulas on {name}"


def find_problem(kernel: str, device: torch.device, dtype: torch.dtype, channels_last: bool) -> str | None:
    """Run a kernel on a small input and say how it differs from the formula; None where it agrees."""
    arguments = _small_input(kernel, dtype, channels_last)
    blocked = import_module(f"densekd.kernels.{kernel}").cpu_blocked
    with torch.no_grad():
        try:
            ours = _on(device, kernel, arguments)
            student = arguments[0].clone(memory_format=torch.preserve_format)
            student[0, 0, 0, 0] = float("nan")
            hidden = _on(device, kernel, (student, *arguments[1:]))[0].isfinite().all().item()
        except Exception as error:
            lines = str(error).strip().splitlines() or [""]
            return f"it failed with {type(error).__name__}: {lines[0][:200]}."
        expected = blocked(*arguments)
    for what, mine, theirs in zip(("value", "gradient"), ours, expected, strict=True):
        difference = _difference(mine.cpu().double(), theirs.double())
        limit = _HALF_TOLERANCE if theirs.dtype.itemsize < 4 else _TOLERANCE
        # A comparison with NaN is false.
        if not difference <= limit:
            return f"its {what} differs from the formula's by {difference:.2g} of the largest."
    if hidden:
        return "a NaN in the student's map does not reach its value."
    return None


def _on(device: torch.device, kernel: str, arguments: tuple[Any, ...]) -> tuple[Tensor, Tensor]:
    """Run the Triton kernel with tensors that are moved to the device."""
    run: Callable[..., tuple[Tensor, Tensor]] = getattr(import_module(f"densekd.kernels.triton.{kernel}"), kernel)
    moved = []
    for argument in arguments:
        moved.append(argument.to(device) if isinstance(argument, Tensor) else argument)
    return run(*moved)


def _difference(mine: Tensor, theirs: Tensor) -> float:
    return float((mine - theirs).abs().max() / theirs.abs().max().clamp(min=1e-12))


def _small_input(kernel: str, dtype: torch.dtype, channels_last: bool) -> tuple[Any, ...]:
    """Return the arguments of a kernel: maps of a few numbers, labels with void ones."""
    generator = torch.Generator().manual_seed(0)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    student, teacher = (
        (2 * torch.randn(_SHAPE, generator=generator)).to(dtype).to(memory_format=layout) for _ in range(2)
    )
    labels = torch.randint(_SHAPE[1], (_SHAPE[0], *_SIZE), generator=generator)
    labels[:, :3] = 255
    to = Upsample(_SIZE)
    by_kernel: dict[str, tuple[Any, ...]] = {
        "channel_kl": (student, teacher, 2.0, Groups()),
        "pixel_kl": (student, teacher, 2.0),
        "resized_channel_kl": (student, teacher, to, 2.0, Groups()),
        "resized_cross_entropy": (student, labels, None, 255, False),
        "resized_pixel_kl": (student, teacher, to, 2.0, labels != 255),
    }
    return by_kernel[kernel]


@lru_cache(maxsize=16)
def _identity(device: torch.device) -> str:
    """Return what a verdict depends on: device, driver, versions, and the kernels' own sources."""
    parts = [device.type, torch.__version__]
    if device.type == "cuda":
        parts += [torch.cuda.get_device_name(device), str(torch.cuda.get_device_capability(device))]
    with suppress(OSError):
        parts.append(_DRIVER.read_text(encoding="utf-8"))
    with suppress(PackageNotFoundError):
        parts.append(version("triton"))
    for path in sorted((Path(__file__).parent / "triton").glob("*.py")):
        parts.append(path.read_text(encoding="utf-8"))
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=12).hexdigest()


def _file() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "densekd" / "kernels.json"


def _read() -> dict[str, bool]:
    """Return the verdicts that were kept; none where the file is missing or damaged."""
    with suppress(OSError, ValueError):
        content = json.loads(_file().read_text(encoding="utf-8"))
        if isinstance(content, dict):
            return content
    return {}


def _write(key: str, verdict: bool) -> None:
    """Keep a verdict; without a folder to write to it is found again by the next process."""
    from densekd.atomic import atomic

    # Another process may have written meanwhile: at worst its verdict is found again.
    content = _read() | {key: verdict}
    with suppress(OSError, RuntimeError), atomic(_file()) as temporary:
        temporary.write_text(json.dumps(content, indent=1, sort_keys=True), encoding="utf-8")
