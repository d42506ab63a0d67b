"""Compilation of Triton kernels without a GPU: registers, spills, shared memory, occupancy.

Triton brings its own compiler and assembler; the assembler's log says what a kernel needs.
"""

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from densekd.kernels.triton.launch import Launch

# Compute capability -> (warps, programs, bytes of shared memory) that one multiprocessor holds.
_LIMITS = {80: (64, 32, 164 * 1024), 90: (64, 32, 228 * 1024), 100: (64, 32, 228 * 1024)}
ARCHITECTURES = tuple(f"sm_{number}" for number in _LIMITS)
# Registers of a multiprocessor, and how many a warp is given at a time.
_REGISTERS = 65536
_GRANULE = 256
# Shared memory that the driver keeps of each program.
_RESERVED = 1024
_TYPES = {
    torch.float32: "*fp32",
    torch.float16: "*fp16",
    torch.bfloat16: "*bf16",
    torch.int32: "*i32",
    torch.int64: "*i64",
    torch.bool: "*i1",
}


@dataclass(frozen=True)
class Compiled:
    """What the assembler says of one launch.

    Args:
        registers: of each thread.
        spill_bytes: of each thread, stored and loaded, because registers were too few.
        shared_bytes: of each program.
        occupancy: share of a multiprocessor's warps that it can hold at a time.
        ptx: the assembly.
    """

    registers: int
    spill_bytes: int
    shared_bytes: int
    occupancy: float
    ptx: str


def compile_launch(launch: Launch, architecture: str) -> Compiled:
    """Compile what a launch would run on another machine.

    Args:
        launch: see :func:`densekd.kernels.triton.launch.recorded`.
        architecture: ``sm_80``, ``sm_90`` or ``sm_100``.

    Raises:
        Exception: Triton's own, where it does not compile.
    """
    signature, constants, divisible = _specialized(launch)
    specialized = (tuple(signature.items()), tuple(constants.items()), divisible)
    return _compile(launch.function, *specialized, launch.warps, int(architecture.removeprefix("sm_")))


# Launches for different maps are often the same code: each is compiled once in a process.
@lru_cache(maxsize=1024)
def _compile(
    function: Any,
    signature: tuple[tuple[str, str], ...],
    constants: tuple[tuple[str, Any], ...],
    divisible: tuple[int, ...],
    warps: int,
    number: int,
) -> Compiled:
    """Compile a function for compute capability ``number / 10``; see :func:`_specialized`."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    attributes = {(index,): [["tt.divisibility", 16]] for index in divisible}
    source = ASTSource(function, dict(signature), dict(constants), attributes)
    target = GPUTarget("cuda", number, 32)
    binary = triton.compile(source, target=target, options={"num_warps": warps})
    ptx: str = binary.asm["ptx"]
    registers, spilled = _assembled(ptx, number)
    shared = int(binary.metadata.shared)
    return Compiled(registers, spilled, shared, _occupancy(registers, shared, warps, number), ptx)


def _specialized(launch: Launch) -> tuple[dict[str, str], dict[str, Any], tuple[int, ...]]:
    """Return types, constants and what 16 divides, as Triton derives them from arguments at a launch."""
    signature: dict[str, str] = {}
    constants: dict[str, Any] = {}
    divisible = []
    for index, parameter in enumerate(launch.function.params):
        value = launch.arguments[parameter.name]
        fixed = parameter.is_constexpr or value is None or (isinstance(value, int) and value == 1)
        if fixed:
            signature[parameter.name] = "constexpr"
            constants[parameter.name] = value
            continue
        signature[parameter.name] = _type_of(value)
        # Torch aligns what it allocates; of sizes and strides the multiples of 16 are known.
        if isinstance(value, torch.Tensor) or (isinstance(value, int) and value % 16 == 0):
            divisible.append(index)
    return signature, constants, tuple(divisible)


def _type_of(value: Any) -> str:
    """Return Triton's name of an argument's type."""
    if isinstance(value, torch.Tensor):
        return _TYPES[value.dtype]
    if isinstance(value, float):
        return "fp32"
    if abs(value) < 2**31:
        return "i32"
    return "i64"


@lru_cache(maxsize=1)
def _assemblers() -> Path:
    import triton

    return Path(triton.__file__).parent / "backends" / "nvidia" / "bin"


def _assembled(ptx: str, number: int) -> tuple[int, int]:
    """Return registers and bytes spilled of a thread, from the log of Triton's own assembler."""
    name = "ptxas-blackwell" if number >= 100 else "ptxas"
    target = re.search(r"\.target (\w+)", ptx)
    assert target is not None
    handle, path = tempfile.mkstemp(suffix=".ptx")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(ptx)
        command = [str(_assemblers() / name), "-v", f"-arch={target[1]}", "-o", os.devnull, path]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    finally:
        Path(path).unlink()
    registers = re.search(r"Used (\d+) registers", done.stderr)
    spills = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", done.stderr)
    assert registers is not None
    assert spills is not None
    return int(registers[1]), int(spills[1]) + int(spills[2])


def _occupancy(registers: int, shared: int, warps: int, number: int) -> float:
    """Return the share of a multiprocessor's warps that are resident at a time."""
    most_warps, most_programs, memory = _LIMITS[number]
    per_warp = -(-registers * 32 // _GRANULE) * _GRANULE
    programs = min(
        most_programs,
        most_warps // warps,
        _REGISTERS // (per_warp * warps),
        memory // (shared + _RESERVED),
    )
    return programs * warps / most_warps
