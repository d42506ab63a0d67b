"""Scaling benchmark: time and memory of a step against batch, size, classes and processes.

    python benchmarks/scaling.py                       # one axis at a time, around 2 x 128 x 128
    and 19 classes python benchmarks/scaling.py --axes processes --processes 1 2 4 python
    benchmarks/scaling.py --table               # print what was measured last as Markdown

The pair is a PSPNet-R50 teacher and a PSPNet-R18 student with CWD; the step is ours, in float32 or
as ``--variant`` says. Processes have a batch each and share gradients as under ``--strategy ddp``
(gloo on a CPU, NCCL on GPUs); on a CPU each has one thread.

Writes ``benchmarks/results/scaling-<machine>.json``.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from measuring import common_parser, machine, peak_bytes, result_path, seconds
from step import VARIANTS, ModelPair, Scene, psp
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from densekd.atomic import write_text

BASE = ModelPair(psp(50, 0), psp(18, 0), ("cwd", {"temperature": 4.0}), 3.0, "none", 19, (128, 128), 2)
AXES: dict[str, list[ModelPair]] = {
    "batch": [replace(BASE, batch=n) for n in (2, 4, 8)],
    "size": [replace(BASE, size=(n, n)) for n in (128, 192, 256)],
    "classes": [replace(BASE, classes=n) for n in (19, 75, 150)],
}


def measure(pair: ModelPair, variant: str, device: str, repeats: int) -> dict[str, Any]:
    """Return time and memory of a step in this process."""
    step = Scene.of(pair, device).step(variant)
    step()
    peak = peak_bytes(step, device)
    median, count = seconds(step, device, repeats, 120)
    row = {"batch": pair.batch, "size": list(pair.size), "classes": pair.classes}
    return row | {"seconds": median, "steps": count, "peak_bytes": peak}


class Stepping(nn.Module):
    """Module for DistributedDataParallel whose forward is the loss of one training step."""

    def __init__(self, scene: Scene) -> None:
        super().__init__()
        self.distiller = scene.distiller("32")
        self.distiller._trainer = None
        self.batch = scene.batch

    def forward(self) -> Tensor:
        """Return the loss."""
        loss: Tensor = self.distiller.training_step(self.batch, 0)["loss"]
        return loss


def work(rank: int, world: int, device: str, repeats: int, folder: str) -> None:
    """Take steps in one of several processes; the first writes their median time."""
    torch.set_num_threads(1)
    place = f"cuda:{rank}" if device == "cuda" else "cpu"
    backend = "nccl" if device == "cuda" else "gloo"
    dist.init_process_group(backend, init_method=f"file://{folder}/meet", rank=rank, world_size=world)
    module = Stepping(Scene.of(BASE, place))
    # As Distiller tells Lightning's DDP: the teacher's buffers are the same everywhere.
    ignored = [name for name, _ in module.named_buffers() if not name.startswith("distiller.student.")]
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(module, ignored)  # type: ignore[no-untyped-call]
    shared = DistributedDataParallel(module)
    optimizer = module.distiller.configure_optimizers()["optimizer"]

    def step() -> None:
        shared().backward()
        optimizer.step()
        optimizer.zero_grad()

    # As many steps in every process: patience is for one that steps alone.
    median, count = seconds(step, device, repeats, float("inf"))
    if rank == 0:
        result = {"seconds": median, "steps": count, "images_per_second": world * BASE.batch / median}
        write_text(Path(folder) / "result.json", json.dumps(result))
    dist.destroy_process_group()


def measure_processes(world: int, device: str, repeats: int) -> dict[str, Any]:
    """Return the time of a step of several processes, each with its own batch."""
    with tempfile.TemporaryDirectory() as folder:
        spawn(work, (world, device, repeats, folder), nprocs=world)  # type: ignore[no-untyped-call]
        result: dict[str, Any] = json.loads((Path(folder) / "result.json").read_text(encoding="utf-8"))
    return {"processes": world, "batch": world * BASE.batch, **result}


def table(results: dict[str, Any]) -> str:
    """Return the results as Markdown, each axis against its first row."""
    lines = ["| axis | value | images | seconds | against the first | memory | against the first |", "|---" * 7 + "|"]
    for axis, rows in results["axes"].items():
        for row in rows:
            cells = [axis, *_cells(axis, row, rows[0])]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _cells(axis: str, row: dict[str, Any], first: dict[str, Any]) -> list[str]:
    """Format one row against the first of its axis."""
    value = str(row[axis])
    if axis == "size":
        value = f"{row['size'][0]} x {row['size'][1]}"
    seconds = row["seconds"]
    cells = [value, str(row["batch"]), f"{seconds:.3f}", f"{seconds / first['seconds']:.2f}x"]
    # Memory is measured within one process only.
    if "peak_bytes" not in row:
        return [*cells, "–", "–"]
    peak = row["peak_bytes"]
    return [*cells, f"{peak / 1e6:.0f} MB", f"{peak / first['peak_bytes']:.2f}x"]


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = common_parser(__doc__, 5)
    parser.add_argument("--axes", nargs="+", choices=[*AXES, "processes"], default=[*AXES, "processes"])
    parser.add_argument("--processes", type=int, nargs="+", help="default: 1, 2, ... as cores or GPUs allow")
    parser.add_argument("--variant", choices=[v for v in VARIANTS if v != "literal"], default="float32")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None, show: Callable[[str], None] = print) -> None:
    args = arguments(argv)
    path = result_path("scaling", args)
    if args.table:
        return show(table(json.loads(path.read_text(encoding="utf-8"))))
    torch.set_num_threads(args.threads)
    results: dict[str, Any] = {"machine": machine(args.device), "variant": args.variant, "axes": {}}
    for axis in args.axes:
        if axis == "processes":
            most = torch.cuda.device_count() if args.device == "cuda" else os.cpu_count() or 1
            worlds = args.processes or [n for n in (1, 2, 4, 8) if n <= most]
            rows = [measure_processes(world, args.device, args.repeats) for world in worlds]
        else:
            rows = [measure(pair, args.variant, args.device, args.repeats) for pair in AXES[axis]]
        results["axes"][axis] = rows
        write_text(path, json.dumps(results, indent=1) + "\n")
    return show(table(results))


if __name__ == "__main__":
    main()
