"""Time and peak memory of each loss, forward and backward, against the published formula as it stands.

    python benchmarks/losses.py                      # every loss, three shapes, 8 images; CUDA where there is one
    python benchmarks/losses.py --only cwd ifvd --shapes 19x64x128
    python benchmarks/losses.py --table              # print what was measured last as Markdown

Each loss has the options it ships with, and float32 maps. Memory is everything allocated for one step at its highest
moment: results, temporaries, what operations need inside, what is kept for the backward pass, the gradients of student
and weights. It is counted beyond what is there before (maps, labels, weights, queues) and in units of the student's and
teacher's maps together. Those in ``densekd.losses.MEMORY_EFFICIENT`` hold at most 2, which a test measures; a loss that
is a plain autograd formula, or has products or convolutions, may hold more. A loss without a formula in
``published.py`` is measured alone.

Every loss and shape runs in a process of its own. Where formula or loss would not fit, or take too long, both run with
fewer images, and the row says so. Writes ``benchmarks/results/losses-<machine>.json`` after every row.
"""

import argparse
import copy
import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, get_type_hints

import torch
from measuring import (
    Forecast,
    Speed,
    common_parser,
    forecast,
    free_bytes,
    machine,
    peak_bytes,
    random_boxes,
    result_path,
    seconds,
)
from published import PUBLISHED, Published
from torch import Tensor, nn

from densekd.atomic import write_text
from densekd.losses import LOSSES
from densekd.ops.boxes import Boxes

SHAPES = ("19x64x128", "150x128x128", "512x64x128")
VOID = 255
# Options where the defaults are not what ships, or would make the queue alone fill the machine.
OPTIONS: dict[str, dict[str, Any]] = {
    "cwd": {"temperature": 4.0},
    "hwd": {"shift": 1.0},
    "cirkd_memory": {"pixel_memory_size": 1000, "region_memory_size": 200},
    "ld": {"strides": (8,)},
    "ld.classes": {"strides": (8, 16, 32)},
    "ld.features": {"strides": (8, 16, 32)},
}
LEVELS = 3  # taps of a method that compares levels
DISTANCES = 4 * 17  # channels of a head that predicts 17 distances for each of 4 sides
REMEMBER = {"cirkd_memory", "cirkd_channel"}  # measured in evaluation mode: the formula has no queue to fill
MOST = 2.0  # times the two maps: what a memory-efficient loss may hold
# Why a published method holds more.
HOLD_MORE = {
    "adversarial": "the discriminator's convolutions and attention, three times forward and backward",
    "cirkd_channel": "a projection of two convolutions; blocks of 4 million similarities",
    "cirkd_memory": "a projection of two convolutions; blocks of 4 million similarities",
    "cirkd_minibatch": "blocks of 4 million similarities",
    "fbkd": "two non-local blocks of two convolutions and a product, and two convolutions that align",
    "mgd": "two 3x3 convolutions",
}


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

    @staticmethod
    def of(images: int, size: str) -> "Shape":
        """Read ``CxHxW``."""
        C, H, W = map(int, size.split("x"))
        return Shape(images, C, H, W)

    def __str__(self) -> str:
        return f"{self.C}x{self.H}x{self.W}"


@dataclass(frozen=True)
class Bench:
    """One loss or formula on given maps."""

    module: nn.Module
    student: Any
    teacher: Any
    target: Tensor | Boxes

    def step(self) -> Tensor:
        """Run forward and backward once; gradients are left behind."""
        torch.manual_seed(0)
        self.forget()
        value: Tensor = self.module(self.student, self.teacher, self.target)
        value.backward()  # type: ignore[no-untyped-call]
        return value.detach()

    def forget(self) -> None:
        """Drop the gradients."""
        for leaf in (*leaves(self.student), *self.module.parameters()):
            leaf.grad = None

    @property
    def input_bytes(self) -> int:
        """Return the size of the maps."""
        return sum(x.nbytes for x in (*leaves(self.student), *leaves(self.teacher)))

    def peak_bytes(self) -> int:
        """Return what one step needs beyond its inputs."""
        self.forget()
        return peak_bytes(self.step, leaves(self.student)[0].device.type)

    def forecast(self, speed: Speed) -> Forecast:
        """Return what a step would take; this one's tensors are on ``meta``."""
        weights = (*self.module.parameters(), *self.module.buffers())
        return forecast(self.step, (self.student, self.teacher, self.target, weights), speed)


def leaves(maps: Any) -> tuple[Tensor, ...]:
    return maps if isinstance(maps, tuple) else (maps,)


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


def takes_levels(name: str) -> bool:
    """Tell whether a loss compares tuples of maps, by the annotation of its first argument."""
    return get_type_hints(LOSSES[name].forward)["student"] is not Tensor


def learns_boxes(name: str) -> bool:
    """Tell whether a loss learns from boxes, by the annotation of its target."""
    return "Boxes" in str(get_type_hints(LOSSES[name].forward)["target"])


def widths_of(name: str, shape: Shape) -> tuple[int, ...]:
    """Return the channels of the maps that a loss compares at once."""
    if name == "ld":
        return (shape.C, DISTANCES)
    return (shape.C,) * (LEVELS if takes_levels(name) else 1)


def make_benches(name: str, shape: Shape, device: str) -> dict[str, Bench]:
    """Return ``ours`` and, where there is a formula, ``published``, with the same weights, on the same maps."""
    torch.manual_seed(0)
    loss = make_loss(name, shape).to(device)
    widths = widths_of(name, shape)
    students, teachers = (
        tuple(3 * torch.randn(shape.B, C, shape.H, shape.W, device=device) for C in widths) for _ in range(2)
    )
    for leaf in students:
        leaf.requires_grad_()
    size = 8 * shape.H, 8 * shape.W
    target = random_boxes(shape.B, size, device) if learns_boxes(name) else make_labels(shape, device)
    student, teacher = (students, teachers) if len(widths) > 1 else (students[0], teachers[0])
    benches = {"ours": Bench(loss, student, teacher, target)}
    if name in PUBLISHED:
        formula = Published(copy.deepcopy(loss), PUBLISHED[name]).train(loss.training)
        benches["published"] = Bench(formula, student, teacher, target)
    return benches


def make_labels(shape: Shape, device: str) -> Tensor:
    """Return labels at 8 times the size of the maps, an eighth of them void."""
    labels = torch.randint(shape.classes, (shape.B, 8 * shape.H, 8 * shape.W), device=device)
    labels[:, : shape.H] = VOID
    return labels


@dataclass(frozen=True)
class Effort:
    """How much to spend: timed steps, and seconds that a step may be expected to take."""

    repeats: int = 5
    longest: float = 20.0


def measure(name: str, shape: Shape, device: str, effort: Effort) -> dict[str, Any]:
    """Return time and memory of loss and formula, with as many images as both can do, and why if these are fewer."""
    images, note = affordable(name, shape, device, effort)
    row: dict[str, Any] = {"batch": images, "note": note} if note else {"batch": images}
    if not images:
        return row
    benches = make_benches(name, replace(shape, B=images), device)
    row["input_bytes"] = benches["ours"].input_bytes
    for who, bench in benches.items():
        peak = bench.peak_bytes()
        median, steps = seconds(bench.step, device, effort.repeats, 3 * effort.longest)
        bench.forget()
        row[who] = {"peak_bytes": peak, "seconds": median, "steps": steps}
    return row


def affordable(name: str, shape: Shape, device: str, effort: Effort) -> tuple[int, str]:
    """Return how many images loss and formula can both do, halving until they can, and what forbids all of them."""
    room, speed = 0.7 * free_bytes(device), Speed.of(device)
    note, images = "", shape.B
    while images:
        excess = []
        for who, bench in make_benches(name, replace(shape, B=images), "meta").items():
            expected = bench.forecast(speed)
            if expected.bytes > room or expected.seconds > effort.longest:
                excess.append(f"{who} needs {expected.bytes / 1e9:.1f} GB and about {expected.seconds:.0f} s a step")
        if not excess:
            break
        note = note or f"with {images} images {', '.join(excess)}"
        images //= 2
    return images, note


def measure_apart(name: str, shape: Shape, args: argparse.Namespace) -> dict[str, Any]:
    """Measure in a process of its own, which leaves nothing behind and may run out of memory alone."""
    options = ["--device", args.device, "--batch", str(shape.B), "--repeats", str(args.repeats)]
    options += ["--threads", str(args.threads)]
    command = [sys.executable, __file__, "--one", name, str(shape), *options, "--longest", str(args.longest)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {"batch": 0, "note": f"process ended with {done.returncode}: {last}"}
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def table(results: dict[str, Any]) -> str:
    """Return the results as Markdown: milliseconds, memory in units of the two maps, and what both save."""
    lines = [
        "| loss | maps | images | ours | memory | published | memory | speed-up | memory saved |",
        "|---" * 9 + "|",
    ]
    notes = []
    for name, shapes in results["losses"].items():
        for shape, row in shapes.items():
            images = f"{row['batch']}"
            if "note" in row:
                notes.append(f"{name}, {shape}: {row['note']}.")
                images += f" [{len(notes)}]"
            lines.append(f"| {name} | {shape} | {images} | {' | '.join(cells(row))} |")
    return "\n".join([*lines, *(f"\n[{k}] {note}" for k, note in enumerate(notes, 1))])


def cells(row: dict[str, Any]) -> list[str]:
    """Return time and memory of both, and how many times more the formula needs; a dash for what is not there."""
    numbers = []
    for who in ("ours", "published"):
        if who in row:
            numbers.append(f"{1e3 * row[who]['seconds']:.1f} ms")
            numbers.append(f"{row[who]['peak_bytes'] / row['input_bytes']:.2f}")
        else:
            numbers += ["–", "–"]
    for key in ("seconds", "peak_bytes"):
        both = "ours" in row and "published" in row
        numbers.append(f"{row['published'][key] / row['ours'][key]:.1f}x" if both else "–")
    return numbers


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = common_parser(__doc__, 5)
    parser.add_argument("--only", nargs="+", choices=sorted(LOSSES), metavar="LOSS", help="default: all")
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), help="CxHxW")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--longest", type=float, default=20.0, help="seconds a step may take before images are halved")
    parser.add_argument("--one", nargs=2, metavar=("LOSS", "CxHxW"), help="measure one here, print JSON and stop")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None, show: Callable[[str], None] = print) -> None:
    args = arguments(argv)
    torch.set_num_threads(args.threads)
    if args.one:
        name, size = args.one
        effort = Effort(args.repeats, args.longest)
        return show(json.dumps(measure(name, Shape.of(args.batch, size), args.device, effort)))
    path = result_path("losses", args)
    if args.table:
        return show(table(json.loads(path.read_text(encoding="utf-8"))))
    facts = {"machine": machine(args.device), "batch": args.batch, "hold_more": HOLD_MORE}
    results: dict[str, Any] = {**facts, "losses": {}}
    for name in args.only or LOSSES:
        for size in args.shapes:
            row = measure_apart(name, Shape.of(args.batch, size), args)
            results["losses"].setdefault(name, {})[size] = row
            show(f"{name} {size}: {', '.join(cells(row))} {row.get('note', '')}".rstrip())
            write_text(path, json.dumps(results, indent=1) + "\n")
    return None


if __name__ == "__main__":
    main()
