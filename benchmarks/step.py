"""Benchmark of a whole training step: the original systems' step against ours, same models, batch and weights.

    python benchmarks/step.py                          # all pairs; sizes for a GPU where there is one, else for a CPU
    python benchmarks/step.py --only pspnet-cwd --batch 2 --size 256x256 --threads 1
    python benchmarks/step.py --table                  # print what was measured last as Markdown

The literal step is that of the originals: float32, NCHW, the teacher as it was trained and run to its end, logits
upsampled to the size of the labels or the detector's loss level by level, the published formula literally, torch's
default optimizer. Ours is what
``densekd train`` runs, here in float32, in bf16 (``training.precision``), in float32 with a bf16 teacher
(``teacher.precision``), and with cached tensors instead of a teacher (``teacher.cache``). All variants are held in
one process and take steps in turn, so that other load of the machine falls on all of them; times are medians.
Memory is what is allocated at the highest moment of a step beyond weights, optimizer and batch.

Writes ``benchmarks/results/step-<machine>.json`` after every pair.
"""

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from measuring import common_parser, machine, peak_bytes, random_boxes, result_path, synchronize
from published import PUBLISHED
from published_detection import gfl_loss
from torch import Tensor, nn

from densekd.atomic import write_text
from densekd.distill.distiller import Distiller
from densekd.distill.fuse_batchnorm import fuse_batch_norms
from densekd.distill.optimizers import OptimizerConfig
from densekd.distill.taps import Taps
from densekd.distill.teacher import FrozenTeacher, Precision
from densekd.distill.terms import Resize, TapPair, Term, WeightSchedule
from densekd.kernels import using
from densekd.losses import LOSSES
from densekd.models import find_model
from densekd.ops.boxes import Boxes
from densekd.tasks.common import upsample
from densekd.tasks.detection import Detection
from densekd.tasks.segmentation import Segmentation
from densekd.teacher_cache import CachedTeacher, Packing

VOID = 255
VARIANTS = ("literal", "float32", "bf16 teacher", "bf16", "cached teacher")
Step = Callable[[], Tensor]


@dataclass(frozen=True)
class ModelPair:
    """A teacher, a student and the distillation loss between them.

    Args:
        teacher: architecture and its options.
        student: the same.
        method: name of a loss and its options.
        weight: of the method.
        resize: see :class:`densekd.distill.terms.Term`.
        classes: C.
        size: height, width.
        batch: B.
        taps: that a term compares, each in both models.
        detects: boxes; else every pixel has a label.
    """

    teacher: tuple[str, Mapping[str, Any]]
    student: tuple[str, Mapping[str, Any]]
    method: tuple[str, Mapping[str, Any]]
    weight: float
    resize: Resize
    classes: int
    size: tuple[int, int]
    batch: int
    taps: tuple[str, ...] = ("logits",)
    detects: bool = False


def psp(depth: int, auxiliary: int) -> tuple[str, Mapping[str, Any]]:
    return "pspnet", {"backbone": f"resnet{depth}", "family": "torchdistiller", "auxiliary_channels": auxiliary}


def mit(size: int) -> tuple[str, Mapping[str, Any]]:
    return "segformer", {"backbone": f"mit_b{size}", "family": "nvlabs"}


def gfl(depth: int) -> tuple[str, Mapping[str, Any]]:
    return "gfl", {"backbone": f"resnet{depth}", "freeze": ("stem", "stage1")}


# As TorchDistiller, SegDistill and MMRazor train them.
PAIRS = {
    "pspnet-cwd": ModelPair(psp(101, 512), psp(18, 128), ("cwd", {"temperature": 4.0}), 3.0, "none", 19, (512, 512), 8),
    "pspnet-cwd-wide": ModelPair(
        psp(101, 512), psp(18, 128), ("cwd", {"temperature": 4.0}), 3.0, "none", 19, (512, 1024), 8
    ),
    "segformer-cgd": ModelPair(
        mit(3), mit(0), ("cgd", {"temperature": 2.0, "group_size": 10}), 3.0, "label", 150, (512, 512), 4
    ),
    "gfl-cwd": ModelPair(
        gfl(101), gfl(50), ("cwd", {"temperature": 1.0}), 5.0, "none", 80, (800, 1333), 4,
        tuple(f"cls.{level}" for level in range(5)), detects=True,
    ),
}  # fmt: skip
# What a CPU does in minutes.
ON_CPU = PAIRS | {
    "pspnet-cwd": replace(PAIRS["pspnet-cwd"], size=(256, 256), batch=2),
    "pspnet-cwd-wide": replace(PAIRS["pspnet-cwd-wide"], size=(256, 512), batch=2),
    "gfl-cwd": replace(PAIRS["gfl-cwd"], size=(320, 416), batch=2),
}


@dataclass(frozen=True)
class Scene:
    """Models from random weights on the device, and one batch of noise."""

    pair: ModelPair
    teacher: nn.Module
    student: nn.Module
    batch: dict[str, Any]

    @staticmethod
    def of(pair: ModelPair, device: str) -> "Scene":
        """Build models and batch."""
        torch.manual_seed(0)
        teacher, student = (find_model(n)(pair.classes, **o).to(device) for n, o in (pair.teacher, pair.student))
        batch: dict[str, Any] = {
            "images": torch.randint(256, (pair.batch, 3, *pair.size), dtype=torch.uint8, device=device),
        }
        if pair.detects:
            batch |= random_boxes(pair.batch, pair.size, device)._asdict()
        else:
            batch["target"] = torch.randint(pair.classes, (pair.batch, *pair.size), dtype=torch.uint8, device=device)
        return Scene(pair, teacher.eval(), student.train(), batch)

    def step(self, variant: str) -> Step:
        """Return one whole step of a variant, on a student of its own."""
        if variant == "literal":
            return self._literal()
        return self._ours(variant)

    def _loss(self) -> nn.Module:
        name, options = self.pair.method
        return LOSSES[name](**options).to(self.batch["images"].device)

    def _literal(self) -> Step:
        pair, loss = self.pair, self._loss()
        formula = PUBLISHED[pair.method[0]]
        student = copy.deepcopy(self.student)
        teacher = copy.deepcopy(self.teacher).requires_grad_(False)
        # Forward hooks, as in the originals.
        teacher_taps = Taps(teacher, pair.taps)
        student_taps = Taps(student, [*pair.taps, *self.task().student_taps(student)])
        optimizer = torch.optim.SGD(student.parameters(), lr=0.01, momentum=0.9, weight_decay=0.0005)

        def losses(images: Tensor, target: Any) -> Tensor:
            with torch.no_grad():
                _, taught = teacher_taps(images)
            output, learned = student_taps(images)
            total = gfl_loss(output, target) if pair.detects else cross_entropies(student, output, learned, target)
            for tap in pair.taps:
                ours, theirs = learned[tap], taught[tap]
                if pair.resize == "label":
                    ours, theirs = (F.interpolate(x, target.shape[1:], mode="bilinear") for x in (ours, theirs))
                total = total + pair.weight * formula(loss, ours, theirs, target)
            return total

        def step() -> Tensor:
            batch = self.batch
            target = Boxes(*(batch[name] for name in Boxes._fields)) if pair.detects else batch["target"].long()
            # The plain layers in both models, too.
            with using("reference"):
                total = losses(batch["images"].float() / 255, target)
            total.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
            return total.detach()

        return step

    def _ours(self, variant: str) -> Step:
        distiller, batch = self.distiller("bf16" if variant.startswith("bf16") else "32"), self.batch
        device = batch["images"].device.type
        if variant == "cached teacher":
            batch, distiller.teacher = self._cached_teacher(distiller)
        distiller._trainer = None
        optimizer = distiller.configure_optimizers()["optimizer"]

        def step() -> Tensor:
            with torch.autocast(device, torch.bfloat16, enabled=variant == "bf16"):
                total: Tensor = distiller.training_step(batch, 0)["loss"]
            total.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
            return total.detach()

        return step

    def task(self) -> Segmentation | Detection:
        """Return what the student itself learns."""
        return Detection(self.pair.classes) if self.pair.detects else Segmentation(self.pair.classes, VOID)

    def distiller(self, precision: Precision) -> Distiller:
        """Return our student, teacher and term, with a teacher of a given precision."""
        pair = self.pair
        student, teacher = copy.deepcopy(self.student), copy.deepcopy(self.teacher)
        if hasattr(teacher, "auxiliary"):
            teacher.auxiliary = None  # type: ignore[assignment]
        terms = {}
        for tap in pair.taps:
            weight = WeightSchedule(pair.weight)
            terms[tap.replace(".", "-")] = Term(self._loss(), TapPair(tap, tap), nn.Identity(), weight, pair.resize)
        teacher = teacher.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        fuse_batch_norms(teacher, pair.taps, self.batch["images"][:1].float() / 255)
        frozen = FrozenTeacher(teacher, pair.taps, precision)
        settings = OptimizerConfig("sgd", 0.01, 40000, weight_decay=0.0005)
        made = Distiller(student, frozen, self.task(), terms, settings)
        return made.to(self.batch["images"].device)

    def _cached_teacher(self, distiller: Distiller) -> tuple[dict[str, Any], CachedTeacher]:
        """Return the batch with the teacher's features, as a cache of bf16 would."""
        assert distiller.teacher is not None
        images = distiller.task.images(self.batch).contiguous(memory_format=torch.channels_last)
        teacher_features = distiller.teacher(images)
        packed = {path: Packing("bf16").pack(x) for path, x in teacher_features.items()}
        return self.batch | {"teacher_features": packed}, CachedTeacher(
            {path: x.shape[1] for path, x in teacher_features.items()}
        )


def cross_entropies(student: nn.Module, logits: Tensor, taps: Mapping[str, Tensor], labels: Tensor) -> Tensor:
    """Return the losses of logits and auxiliary logits at the size of the labels."""
    total = F.cross_entropy(upsample(student, logits, labels.shape[1:]), labels, ignore_index=VOID)
    if "aux" in taps:
        auxiliary = upsample(student, taps["aux"], labels.shape[1:])
        total = total + 0.4 * F.cross_entropy(auxiliary, labels, ignore_index=VOID)
    return total


def measure(pair: ModelPair, device: str, repeats: int, only: tuple[str, ...] = VARIANTS) -> dict[str, Any]:
    """Return loss of the first step, median time and peak memory of each variant; they take steps in turn."""
    scene = Scene.of(pair, device)
    steps = {variant: scene.step(variant) for variant in only}
    rows: dict[str, Any] = {}
    for variant, step in steps.items():
        rows[variant] = {"loss": step().item(), "peak_bytes": peak_bytes(step, device)}
    times: dict[str, list[float]] = {variant: [] for variant in steps}
    for _ in range(repeats):
        for variant, step in steps.items():
            synchronize(device)
            start = time.perf_counter()
            step()
            synchronize(device)
            times[variant].append(time.perf_counter() - start)
    for variant, taken in times.items():
        rows[variant] |= {"seconds": statistics.median(taken), "steps": repeats}
    return {"batch": pair.batch, "size": list(pair.size), "classes": pair.classes, "variants": rows}


def table(results: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    lines = ["| pair | step | seconds | time of literal | memory | of literal |", "|---" * 6 + "|"]
    for name, row in results["pairs"].items():
        height, width = row["size"]
        where = f"{name}, {height} x {width}, B = {row['batch']}"
        for variant, one in row["variants"].items():
            base = row["variants"]["literal"]
            time_share, memory_share = (one[key] / base[key] for key in ("seconds", "peak_bytes"))
            memory = f"{one['peak_bytes'] / 1e6:.0f} MB | {memory_share:.2f}x"
            lines.append(f"| {where} | {variant} | {one['seconds']:.3f} | {time_share:.2f}x | {memory} |")
    return "\n".join(lines)


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = common_parser(__doc__, 5)
    parser.add_argument("--only", nargs="+", choices=sorted(PAIRS), default=list(PAIRS), metavar="PAIR")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--batch", type=int)
    parser.add_argument("--size", help="HxW")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None, show: Callable[[str], None] = print) -> None:
    args = arguments(argv)
    path = result_path("step", args)
    if args.table:
        return show(table(json.loads(path.read_text(encoding="utf-8"))))
    torch.set_num_threads(args.threads)
    results: dict[str, Any] = {"machine": machine(args.device), "pairs": {}}
    for name in args.only:
        pair = (PAIRS if args.device == "cuda" else ON_CPU)[name]
        height, width = map(int, args.size.split("x")) if args.size else pair.size
        pair = replace(pair, batch=args.batch or pair.batch, size=(height, width))
        results["pairs"][name] = measure(pair, args.device, args.repeats, tuple(args.variants))
        write_text(path, json.dumps(results, indent=1) + "\n")
    return show(table(results))


if __name__ == "__main__":
    main()
