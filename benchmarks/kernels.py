"""Benchmark of the kernels: time, memory bandwidth and peak memory against the formulas in plain PyTorch.

    python benchmarks/kernels.py                     # every kernel at its sizes; CUDA where there is one
    python benchmarks/kernels.py --only channel_kl --sizes 512x64x128 --batch 8
    python benchmarks/kernels.py --only resized_cross_entropy --sizes 150x128x128-512x512 --layout channels-last
    python benchmarks/kernels.py --table             # print what was measured last as Markdown

A row is one forward and backward of a kernel and of its reference, the literal formula under autograd, on the same
tensors, alternately in one process; with ``--compiled`` the formula compiled by ``torch.compile``, too.
``at`` is the loss of that name, and its formula that of CIRKD. On one thread of a CPU times are seconds of that
thread, so that other work on the machine does not count; ``time`` and ``of compiled`` are medians of the ratio within a
round. Memory is what is allocated at the highest moment beyond inputs and labels, the
gradient among it. ``ideal bytes`` are what must be moved: each input read once, the gradient written once. Over the
time this is a rate; ``of copy`` divides it by the rate at which the same run copies a large tensor (read and written).
Writes ``benchmarks/results/kernels-<machine>.json``; of other types and layouts
``kernels-<type>-<layout>-<machine>.json``.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from measuring import common_parser, machine, peak_bytes, result_path, seconds, synchronize
from published import PUBLISHED
from torch import Tensor

from densekd.atomic import write_text
from densekd.kernels import (
    Groups,
    Upsample,
    channel_kl,
    dispatch,
    pixel_kl,
    resized_channel_kl,
    resized_cross_entropy,
    resized_pixel_kl,
    using,
)
from densekd.losses.at import AT

VOID = 255
TEN = Groups(10)  # what SegDistill ships
PLAIN = ("19x12x16", "19x64x128", "150x128x128", "512x64x128")
UPSAMPLED = ("12x12x16-96x128", "12x22x30-176x240", "19x64x128-512x1024", "150x128x128-512x512")
# Images of upsampled maps that do not come in pairs.
IMAGES = {"12x12x16-96x128": 8, "12x22x30-176x240": 8}
# Seconds that a measurement lasts at least; short steps are repeated in it.
LEAST = 0.01
LAYOUTS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}
COLUMNS = (
    "kernel", "size", "images", "ours ms", "eager ms", "time", "of compiled", "of copy", "ours MB", "eager MB", "memory"
)  # fmt: skip


@dataclass(frozen=True)
class Inputs:
    """Arguments of a kernel: two maps, and labels of the size that they are upsampled to, or of their own."""

    student: Tensor
    teacher: Tensor
    labels: Tensor

    @property
    def upsample(self) -> Upsample:
        """Return the interpolation to the labels' size."""
        return Upsample((self.labels.shape[1], self.labels.shape[2]))


def attention_transfer(x: Inputs) -> Tensor:
    """Return our loss, or within ``using("reference")`` the published formula."""
    loss = AT()
    if dispatch._active == "reference":
        return PUBLISHED["at"](loss, x.student.float(), x.teacher.float(), x.labels)
    return loss(x.student, x.teacher)  # type: ignore[no-any-return]


KERNELS: dict[str, Callable[[Inputs], Tensor]] = {
    "channel_kl": lambda x: channel_kl(x.student, x.teacher, 4.0).sum(),
    "at": attention_transfer,
    "channel_kl in tens": lambda x: channel_kl(x.student, x.teacher, 4.0, TEN).sum(),
    "pixel_kl": lambda x: pixel_kl(x.student, x.teacher).sum(),
    "resized_cross_entropy": lambda x: resized_cross_entropy(x.student, x.labels, None, VOID),
    "resized_channel_kl": lambda x: resized_channel_kl(x.student, x.teacher, x.upsample, 4.0).sum(),
    "resized_channel_kl in tens": lambda x: resized_channel_kl(x.student, x.teacher, x.upsample, 4.0, TEN).sum(),
    "resized_pixel_kl": lambda x: resized_pixel_kl(x.student, x.teacher, x.upsample),
}


def make_inputs(size: str, args: argparse.Namespace) -> Inputs:
    """Read ``CxHxW``, or ``CxHxW-HxW`` with the size after upsampling."""
    own, _, wanted = size.partition("-")
    C, h, w = map(int, own.split("x"))
    H, W = map(int, wanted.split("x")) if wanted else (h, w)
    batch = args.batch or (IMAGES.get(size, 2) if wanted else 8)
    torch.manual_seed(0)
    dtype: torch.dtype = getattr(torch, args.dtype)
    student, teacher = (
        (3 * torch.randn(batch, C, h, w, device=args.device)).to(dtype).contiguous(memory_format=LAYOUTS[args.layout])
        for _ in range(2)
    )
    labels = torch.randint(C, (batch, H, W), device=args.device)
    labels[:, : H // 8] = VOID
    return Inputs(student.requires_grad_(), teacher, labels)


def measure(name: str, size: str, args: argparse.Namespace) -> dict[str, Any]:
    """Measure a kernel and its reference."""
    inputs = make_inputs(size, args)

    # Compiling imports much.
    compiled = torch.compile(KERNELS[name], dynamic=False) if args.compiled else KERNELS[name]

    def step(kernels: Any) -> None:
        inputs.student.grad = None
        with using("auto" if kernels == "auto" else "reference"):
            value = compiled(inputs) if kernels == "compiled" else KERNELS[name](inputs)
        value.backward()  # type: ignore[no-untyped-call]

    moved = inputs.student.nbytes * 2 + (inputs.labels if "entropy" in name else inputs.teacher).nbytes
    row: dict[str, Any] = {"kernel": name, "size": size, "batch": len(inputs.labels), "ideal_bytes": moved}
    sides = {"ours": "auto", "eager": "reference"}
    if args.compiled:
        sides["compiled"] = "compiled"
    for who, kernels in sides.items():
        inputs.student.grad = None
        row[who] = {"peak_bytes": peak_bytes(lambda kernels=kernels: step(kernels), args.device)}  # type: ignore[misc]
    # Alternately, so that what else the machine does meets both.
    times: dict[str, list[float]] = {who: [] for who in sides}
    for round_ in range(args.repeats + 1):
        for who, kernels in sides.items():
            passed = elapsed(lambda kernels=kernels: step(kernels), args)  # type: ignore[misc]
            # The first round pays for caches and is not counted.
            if round_:
                times[who].append(passed)
    for who, measured in times.items():
        ratios = [ours / theirs for ours, theirs in zip(times["ours"], measured, strict=True)]
        row[who] |= {"seconds": statistics.median(measured), "fastest": min(measured)}
        row[who] |= {"ours_over_this": statistics.median(ratios)}
    return row


def elapsed(step: Callable[[], object], args: argparse.Namespace) -> float:
    """Return the seconds of a step; those of the process where it has one thread on a CPU."""
    clock = time.process_time if (args.device, args.threads) == ("cpu", 1) else time.perf_counter
    synchronize(args.device)
    begun, steps = clock(), 0
    while not steps or clock() - begun < LEAST:
        step()
        steps += 1
        synchronize(args.device)
    return (clock() - begun) / steps


def copy_rate(device: str) -> float:
    """Return bytes read and written in a second by a copy of 256 MB."""
    x = torch.ones(1 << 26, device=device)
    y = torch.empty_like(x)
    return 2 * x.nbytes / seconds(lambda: y.copy_(x), device, 5, 60)[0]


def cells(row: dict[str, Any], rate: float) -> list[str]:
    ours, eager = row["ours"], row["eager"]
    return [
        row["kernel"],
        row["size"],
        str(row["batch"]),
        f"{1e3 * ours['seconds']:.3g}",
        f"{1e3 * eager['seconds']:.3g}",
        f"{eager.get('ours_over_this', ours['seconds'] / eager['seconds']):.2f}x",
        f"{row['compiled']['ours_over_this']:.2f}x" if "compiled" in row else "–",
        f"{row['ideal_bytes'] / ours['seconds'] / rate:.0%}",
        f"{ours['peak_bytes'] / 1e6:.1f}",
        f"{eager['peak_bytes'] / 1e6:.1f}",
        f"{ours['peak_bytes'] / eager['peak_bytes']:.3f}x",
    ]


def table(results: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    rate = results["copy_bytes_per_second"]
    lines = [list(COLUMNS), ["---"] * len(COLUMNS), *(cells(row, rate) for row in results["rows"])]
    if not any("compiled" in row for row in results["rows"]):
        at = COLUMNS.index("of compiled")
        lines = [[*line[:at], *line[at + 1 :]] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = common_parser(__doc__, 5)
    parser.add_argument("--only", nargs="+", choices=list(KERNELS), metavar="KERNEL", help="default: all")
    parser.add_argument("--sizes", nargs="+", help="CxHxW, for upsampled maps CxHxW-HxW; default: three and two")
    parser.add_argument("--batch", type=int, help="default: 8, of upsampled maps 2")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], default="float32")
    parser.add_argument("--layout", choices=list(LAYOUTS), default="contiguous")
    parser.add_argument("--compiled", action="store_true", help="against the compiled formula, too")
    return parser.parse_args(argv)


def kind_of(args: argparse.Namespace) -> str:
    """Return the first word of the file of results; another type or layout of the maps has a file of its own."""
    if (args.dtype, args.layout) == ("float32", "contiguous"):
        return "kernels"
    return f"kernels-{args.dtype}-{args.layout}"


def main(argv: list[str] | None = None, show: Callable[[str], None] = print) -> None:
    args = arguments(argv)
    torch.set_num_threads(args.threads)
    path = result_path(kind_of(args), args)
    if args.table:
        return show(table(json.loads(path.read_text(encoding="utf-8"))))
    rate = copy_rate(args.device)
    results: dict[str, Any] = {"machine": machine(args.device), "dtype": args.dtype, "layout": args.layout}
    results |= {"copy_bytes_per_second": rate, "rows": []}
    for name in args.only or KERNELS:
        for size in args.sizes or (UPSAMPLED if name.startswith("resized") else PLAIN):
            results["rows"].append(measure(name, size, args))
            show(" ".join(cells(results["rows"][-1], rate)))
            write_text(path, json.dumps(results, indent=1) + "\n")
    return None


if __name__ == "__main__":
    main()
