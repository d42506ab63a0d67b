"""What does each loss cost? Time and peak memory, forward and backward, against the published formula as it stands.

    python benchmarks/losses.py                      # every loss, three shapes, 8 images; CUDA where there is one
    python benchmarks/losses.py --only cwd ifvd --shapes 19x64x128

Each loss has the options it ships with. Memory is what lives beyond the two maps, labels and weights at the highest
moment, the gradient included: on CUDA what the allocator says, on the CPU the tensors that exist between operations (an
operation's own scratch is not seen). A formula that cannot fit is not run: its memory is counted without storage.
Writes ``benchmarks/results/losses-<machine>.json``; ``--table`` prints that file as Markdown.
"""

import argparse
import copy
import inspect
import json
import os
import platform
import re
import statistics
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from published import PUBLISHED, Published
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from densekd.files import write_text
from densekd.losses import LOSSES

RESULTS = Path(__file__).parent / "results"
SHAPES = ("19x64x128", "150x128x128", "512x64x128")
VOID = 255
# Options where the defaults are not what ships, or would make the queue alone fill the machine.
OPTIONS: dict[str, dict[str, Any]] = {
    "cwd": {"temperature": 4.0},
    "hwd": {"shift": 1.0},
    "cirkd_memory": {"pixel_memory_size": 1000, "region_memory_size": 200},
}
LEVELS = {"dsd": 3, "dsd.psd": 3}  # taps that the method compares at once
REMEMBER = {"cirkd_memory", "cirkd_channel"}  # measured in evaluation mode: the formula has no queue to fill


@dataclass(frozen=True)
class Shape:
    """Maps ``[B, C, H, W]``; labels are 8 times as large."""

    B: int
    C: int
    H: int
    W: int

    @property
    def classes(self) -> int:
        """As many as channels where these may be logits, those of Cityscapes where they are features."""
        return self.C if self.C <= 150 else 19

    def __str__(self) -> str:
        return f"{self.C}x{self.H}x{self.W}"


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Count the bytes of every storage that operations return, as long as it lives; ``peak`` is the most at a time."""

    def __init__(self, known: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live: int = 0
        self.peak: int = 0
        self._known: set[int] = set()
        tree_map_only(Tensor, lambda x: self._known.add(x.untyped_storage()._cdata), known)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        tree_map_only(Tensor, self._count, out)
        return out

    def _count(self, x: Tensor) -> None:
        storage = x.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size


@dataclass(frozen=True)
class Bench:
    """One loss or formula on given maps."""

    module: nn.Module
    student: Any
    teacher: Any
    labels: Tensor

    def step(self) -> Tensor:
        """Run forward and backward once; gradients are left behind."""
        torch.manual_seed(0)
        for leaf in (*leaves(self.student), *self.module.parameters()):
            leaf.grad = None
        value: Tensor = self.module(self.student, self.teacher, self.labels)
        value.backward()  # type: ignore[no-untyped-call]
        return value.detach()

    def on(self, device: str) -> "Bench":
        """Return the same elsewhere; on ``meta`` nothing is stored or computed."""
        student = tree_map_only(Tensor, lambda x: x.detach().to(device).requires_grad_(), self.student)
        teacher = tree_map_only(Tensor, lambda x: x.to(device), self.teacher)
        return Bench(copy.deepcopy(self.module).to(device), student, teacher, self.labels.to(device))

    def seconds(self, repeats: int) -> float:
        """Return the median time of a step after two to warm up."""
        times = []
        for _ in range(repeats + 2):
            synchronise(self.labels.device)
            start = time.perf_counter()
            self.step()
            synchronise(self.labels.device)
            times.append(time.perf_counter() - start)
        return statistics.median(times[2:])

    def peak_bytes(self) -> int:
        """Return what one step needs beyond its inputs."""
        for leaf in (*leaves(self.student), *self.module.parameters()):
            leaf.grad = None
        if self.labels.is_cuda:
            before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            self.step()
            return int(torch.cuda.max_memory_allocated() - before)
        weights = (*self.module.parameters(), *self.module.buffers())
        with LiveBytes((self.student, self.teacher, self.labels, weights)) as counter:
            self.step()
        return int(counter.peak)

    def expected_bytes(self) -> int | None:
        """Return what one step would need, found without storage; None where an operation cannot do that."""
        try:
            return self.on("meta").peak_bytes()
        except (RuntimeError, NotImplementedError):
            return None


def leaves(maps: Any) -> tuple[Tensor, ...]:
    return maps if isinstance(maps, tuple) else (maps,)


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def make_loss(name: str, shape: Shape) -> nn.Module:
    """Build a loss with what the build would supply."""
    supplied = {
        "student_channels": shape.C,
        "teacher_channels": shape.C,
        "num_classes": shape.classes,
        "ignore_index": VOID,
        "teacher_size": (shape.H, shape.W),
    }
    named = inspect.signature(LOSSES[name]).parameters
    loss = LOSSES[name](**{k: v for k, v in supplied.items() if k in named}, **OPTIONS.get(name, {}))
    return loss.eval() if name in REMEMBER else loss.train()


def make_benches(name: str, shape: Shape, device: str) -> tuple[Bench, Bench]:
    """Return our loss and the published formula, with the same weights, on the same maps."""
    torch.manual_seed(0)
    loss = make_loss(name, shape).to(device)
    n = LEVELS.get(name, 1)
    students, teachers = (
        tuple(3 * torch.randn(shape.B, shape.C, shape.H, shape.W, device=device) for _ in range(n)) for _ in range(2)
    )
    for leaf in students:
        leaf.requires_grad_()
    labels = torch.randint(shape.classes, (shape.B, 8 * shape.H, 8 * shape.W), device=device)
    labels[:, : shape.H] = VOID
    student, teacher = (students, teachers) if n > 1 else (students[0], teachers[0])
    formula = Published(copy.deepcopy(loss), PUBLISHED[name]).train(loss.training)
    return Bench(loss, student, teacher, labels), Bench(formula, student, teacher, labels)


def measure(name: str, shape: Shape, device: str, repeats: int) -> dict[str, Any]:
    """Return time and memory of loss and formula."""
    ours, formula = make_benches(name, shape, device)
    row: dict[str, Any] = {"input_bytes": sum(x.nbytes for x in (*leaves(ours.student), *leaves(ours.teacher)))}
    for who, bench in (("ours", ours), ("published", formula)):
        expected = bench.expected_bytes()
        if expected is not None and expected > 0.7 * free_bytes(device):
            row[who] = {"seconds": None, "peak_bytes": expected}
            continue
        row[who] = {"peak_bytes": bench.peak_bytes(), "seconds": bench.seconds(repeats)}
    return row


def free_bytes(device: str) -> int:
    """Return what can still be allocated."""
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError):
        return 8 << 30


def machine(device: str) -> dict[str, Any]:
    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    return {
        "device": device,
        "name": name,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def table(results: dict[str, Any]) -> str:
    """Return the results as Markdown: milliseconds, and memory in units of the two maps."""

    def cell(row: dict[str, Any], who: str) -> str:
        seconds, memory = row[who]["seconds"], row[who]["peak_bytes"] / row["input_bytes"]
        return f"{'does not fit' if seconds is None else f'{1e3 * seconds:.1f} ms'}, {memory:.1f}"

    lines = ["| loss | maps | ours | as published |", "|---|---|---|---|"]
    for name, shapes in results["losses"].items():
        for shape, row in shapes.items():
            lines.append(f"| {name} | {shape} | {cell(row, 'ours')} | {cell(row, 'published')} |")
    return "\n".join(lines)


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=sorted(LOSSES), metavar="LOSS", help="default: all")
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), help="CxHxW")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--machine", help="in the name of the file; default: the device's name")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="print the stored results and stop")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None, show: Callable[[str], None] = print) -> None:
    args = arguments(argv)
    about = machine(args.device)
    slug = re.sub(r"[^a-z0-9]+", "-", (args.machine or f"{args.device}-{about['name']}").lower()).strip("-")
    path = args.results / f"losses-{slug}.json"
    if args.table:
        return show(table(json.loads(path.read_text(encoding="utf-8"))))
    results: dict[str, Any] = {"machine": about, "batch": args.batch, "losses": {}}
    args.results.mkdir(parents=True, exist_ok=True)
    for name in args.only or LOSSES:
        for text in args.shapes:
            shape = Shape(args.batch, *map(int, text.split("x")))
            row = measure(name, shape, args.device, args.repeats)
            results["losses"].setdefault(name, {})[str(shape)] = row
            show(table({"losses": {name: {str(shape): row}}}).splitlines()[-1])
            write_text(path, json.dumps(results, indent=1) + "\n")
    return None


if __name__ == "__main__":
    main()
