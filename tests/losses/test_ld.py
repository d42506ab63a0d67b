"""LD against the authors' head written as loops in double precision, its regions, its divisor and what it refuses."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from forked import in_two_processes
from torch import Tensor

from densekd.losses.ld import LD, LDClasses, LDFeatures
from densekd.ops.boxes import Boxes

STRIDES, SIZES = (8, 16), ((6, 7), (3, 4))
SCALE = 3.0  # anchors of 24 and 48 pixels
C, BINS, TOP_K = 3, 5, 9
LEVELS: dict[str, Any] = {"strides": STRIDES, "anchor_scale": SCALE}


def heads(seed: int, images: int = 2) -> tuple[Tensor, ...]:
    """Return classes and distributions of two levels, in double precision."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(images, channels, *size) for channels in (C, 4 * BINS) for size in SIZES]
    return tuple(3 * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)


def target(*boxes: list[list[float]]) -> Boxes:
    found = [torch.tensor(x, dtype=torch.float64).view(-1, 4) for x in boxes]
    return Boxes(found, [torch.zeros(len(x), dtype=torch.int64) for x in found], torch.tensor([[48, 56]] * len(found)))


BOXES = target([[4, 4, 50, 44], [20, 10, 40, 30]], [[0, 8, 30, 40]])


def iou_and_diou(a: list[float], b: list[float]) -> tuple[float, float]:
    def area(x: list[float]) -> float:
        return (x[2] - x[0]) * (x[3] - x[1])

    overlap = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    iou = overlap / (area(a) + area(b) - overlap)
    rho = ((a[0] + a[2] - b[0] - b[2]) / 2) ** 2 + ((a[1] + a[3] - b[1] - b[3]) / 2) ** 2
    diagonal = (max(a[2], b[2]) - min(a[0], b[0])) ** 2 + (max(a[3], b[3]) - min(a[1], b[1])) ** 2
    return iou, iou - rho / diagonal


def weight_of(position: tuple[int, int, int], boxes: Tensor, scores: Tensor, region: str) -> float:
    """Return w of one position (level, row, column); ``scores`` are the student's class logits there."""
    places = [(k, i, j) for k, (H, W) in enumerate(SIZES) for i in range(H) for j in range(W)]
    half = SCALE / 2
    around = {(k, i, j): [STRIDES[k] * edge for edge in (j - half, i - half, j + half, i + half)] for k, i, j in places}
    best: tuple[float, float] = (-1, 0)
    for box in boxes.tolist():
        candidates = []
        for level in range(2):
            own = [p for p in places if p[0] == level]
            x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            own.sort(key=lambda p: math.hypot(p[2] * STRIDES[p[0]] - x, p[1] * STRIDES[p[0]] - y))
            candidates += own[:TOP_K]
        overlaps = torch.tensor([iou_and_diou(around[p], box)[0] for p in candidates], dtype=torch.float64)
        threshold = (overlaps.mean() + overlaps.std()).item()
        iou, diou = iou_and_diou(around[position], box)
        x, y = position[2] * STRIDES[position[0]], position[1] * STRIDES[position[0]]
        inside = min(x - box[0], y - box[1], box[2] - x, box[3] - y) > 0.01
        if region == "main" and position in candidates and iou >= threshold and inside:
            best = max(best, (iou, scores.sigmoid().max().item()))
        if region == "valuable" and threshold / 4 <= diou < threshold:
            best = max(best, (iou, iou / 4))
    return best[1]


def literal(student: tuple[Tensor, ...], teacher: tuple[Tensor, ...], boxes: Boxes, options: dict[str, Any]) -> float:
    """``LDHead.loss_single`` of HikariTJU/LD before its loss weight: ``mean`` over bins, T squared, divided by 4.

    There the sum over the valuable region is divided by 16, and none by the images.
    """
    T, total, weights = options["temperature"], 0.0, 0.0
    for b in range(len(student[0])):
        for k, (H, W) in enumerate(SIZES):
            for i in range(H):
                for j in range(W):
                    w = weight_of((k, i, j), boxes.boxes[b], student[k][b, :, i, j], options["region"])
                    weights += w
                    for side in range(4):
                        bins = slice(side * BINS, (side + 1) * BINS)
                        p = (teacher[2 + k][b, bins, i, j] / T).softmax(0)
                        q = (student[2 + k][b, bins, i, j] / T).softmax(0)
                        total += (p * (p.log() - q.log())).mean().item() * T * T * w / 4
    return total / (max(weights, 1) if options["divisor"] == "weights" else len(student[0]))


@pytest.mark.parametrize("divisor", ["images", "weights"])
@pytest.mark.parametrize(("region", "temperature"), [("main", 10.0), ("main", 1.0), ("valuable", 10.0)])
def test_equals_the_loops(region: str, temperature: float, divisor: str) -> None:
    options: dict[str, Any] = {"temperature": temperature, "region": region, "divisor": divisor}
    student, teacher = heads(0), heads(1)
    value = LD(**options, **LEVELS)(student, teacher, BOXES).item()
    assert value > 1e-3
    assert value == pytest.approx(literal(student, teacher, BOXES, options), rel=1e-12)


@pytest.mark.parametrize("region", ["main", "valuable"])
def test_positions_outside_of_the_region_do_not_count(region: Any) -> None:
    loss, student, teacher = LD(region=region, **LEVELS), heads(0), heads(1)
    region_of = loss.weights(student[:2], BOXES)
    by_level = [w.view(2, 1, *size) > 0 for w, size in zip(region_of.split([42, 12], 1), SIZES, strict=True)]
    assert all(0 < inside.sum() < inside.numel() for inside in by_level)
    moved = [*student[:2], *(torch.where(inside, x, 50.0) for inside, x in zip(by_level, student[2:], strict=True))]
    moved[2] = moved[2].requires_grad_()
    value = loss(tuple(moved), teacher, BOXES)
    (gradient,) = torch.autograd.grad(value, moved[2])
    assert value.item() == loss(student, teacher, BOXES).item()
    assert gradient.where(by_level[0], 0).abs().max() > 0
    assert gradient.where(~by_level[0], 0).abs().max() == 0


def test_the_class_logits_and_the_teacher_get_no_gradient() -> None:
    student, teacher = (tuple(x.requires_grad_() for x in heads(seed)) for seed in (0, 1))
    LD(**LEVELS)(student, teacher, BOXES).backward()
    assert all(x.grad is None for x in (*student[:2], *teacher))
    assert all(x.grad is not None and x.grad.any() for x in student[2:])


@pytest.mark.parametrize("region", ["main", "valuable"])
@pytest.mark.parametrize("divisor", ["images", "weights"])
def test_without_boxes_it_is_zero_with_a_graph(region: Any, divisor: Any) -> None:
    student = tuple(x.requires_grad_() for x in heads(0))
    loss = LD(region=region, divisor=divisor, **LEVELS)
    value = loss(student, heads(1), target([], []))
    value.backward()
    assert value.item() == 0
    assert all(x.grad is not None and not x.grad.any() for x in student[2:])
    # An image without boxes adds nothing to one that has some.
    count = 2 if divisor == "images" else 1
    alone = loss(tuple(x[:1] for x in student), tuple(x[:1] for x in heads(1)), BOXES._replace(boxes=BOXES.boxes[:1]))
    mixed = loss(student, heads(1), BOXES._replace(boxes=[BOXES.boxes[0], BOXES.boxes[1][:0]]))
    assert mixed.item() == pytest.approx(alone.item() / count, rel=1e-12)
    assert alone.item() > 0


def test_boxes_of_one_pixel_and_without_area_are_finite() -> None:
    for region in ("main", "valuable"):
        tiny = target([[20, 20, 21, 21], [30, 30, 30, 30]], [[0, 0, 0, 0]])
        assert LD(region=region, **LEVELS)(heads(0), heads(1), tiny).isfinite()


def test_half_precision_is_widened() -> None:
    """The maps are the same numbers in both; bins and sums are float32."""
    student, teacher = (tuple(x.to(torch.bfloat16) for x in heads(seed)) for seed in (0, 1))
    wide = [tuple(x.float() for x in maps) for maps in (student, teacher)]
    value = LD(**LEVELS)(student, teacher, BOXES)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, LD(**LEVELS)(*wide, BOXES), rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("student", "boxes", "message"),
    [
        (heads(0)[:3], BOXES, "2 maps of classes, then 2 of distributions; got 3"),
        ((*heads(0)[:2], *heads(0)[:2]), BOXES, "four sides"),
        ((*heads(0)[:3], heads(0)[2]), BOXES, "one shape"),
        (heads(0), target([]), "needs boxes for 2 images.* got boxes for 1"),
        (heads(0), None, "needs boxes for 2 images, as in detection; there are none"),
        (heads(0), torch.zeros(2, 48, 56, dtype=torch.int64), r"needs boxes.* the target is labels \[2, 48, 56\]"),
    ],
)
def test_what_does_not_fit_is_refused(student: tuple[Tensor, ...], boxes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LD(**LEVELS)(student, heads(1)[: len(student)], boxes)


def test_another_head_is_refused() -> None:
    """RetinaNet's nine anchors have a channel for each class and four deltas each, which divide like distributions."""
    maps = [
        tuple(torch.zeros(2, channels, *size) for channels in (9 * C, 36) for size in SIZES),
        tuple(torch.zeros(2, channels, *size) for channels in (C, 36) for size in SIZES),
    ]
    loss = LD(num_classes=C, **LEVELS)
    with pytest.raises(ValueError, match="two GFL heads, with one channel for each of 3 classes; this head has 27"):
        loss(maps[0], maps[0], BOXES)
    with pytest.raises(ValueError, match="this head has 27"):
        LDClasses(num_classes=C, **LEVELS)(maps[0][:2], maps[0][:2], BOXES)
    # The teacher's classes are not read: they may be others.
    assert loss(maps[1], maps[0], BOXES) == 0


def of_one_process(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    own = slice(rank, rank + 1)
    maps = [tuple(x[own] for x in heads(seed)) for seed in (0, 1)]
    boxes = BOXES._replace(boxes=BOXES.boxes[own])
    values = [LD(divisor=divisor, **LEVELS)(*maps, boxes) for divisor in ("weights", "images")]
    torch.save(torch.stack(values), f"{folder}/rank{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.timeout(300)
def test_the_mean_over_processes_is_the_value_of_the_joined_batch(tmp_path: Path) -> None:
    in_two_processes(of_one_process, str(tmp_path))
    mean = torch.stack([torch.load(tmp_path / f"rank{rank}.pt") for rank in range(2)]).mean(0)
    joined = [LD(divisor=divisor, **LEVELS)(heads(0), heads(1), BOXES) for divisor in ("weights", "images")]
    torch.testing.assert_close(mean, torch.stack(joined), rtol=1e-12, atol=0)


def inside_half_of_the_best(boxes: Tensor) -> set[tuple[int, int, int]]:
    """Return the positions (level, row, column) of the fine-grained region, by loops."""
    half = SCALE / 2
    around = {
        (k, i, j): [STRIDES[k] * edge for edge in (j - half, i - half, j + half, i + half)]
        for k, (H, W) in enumerate(SIZES)
        for i in range(H)
        for j in range(W)
    }
    region = set()
    for box in boxes.tolist():
        overlaps = {place: iou_and_diou(anchor, box)[0] for place, anchor in around.items()}
        best = max(overlaps.values())
        region |= {place for place, overlap in overlaps.items() if overlap > best / 2}
    return region


def literal_of_the_head(kind: str, student: tuple[Tensor, ...], teacher: tuple[Tensor, ...], boxes: Boxes) -> float:
    """``loss_kd`` (T = 2) and ``loss_im`` of HikariTJU/LD before their weights: the mean of each level, added."""
    total = 0.0
    for k, (H, W) in enumerate(SIZES):
        values: list[float] = []
        positives = 0
        for b in range(len(student[0])):
            region = inside_half_of_the_best(boxes.boxes[b])
            for i in range(H):
                for j in range(W):
                    s, t = student[k][b, :, i, j], teacher[k][b, :, i, j]
                    positive = weight_of((k, i, j), boxes.boxes[b], s, "main") > 0
                    positives += positive
                    if kind == "classes" and positive:
                        p, q = (t / 2).softmax(0), (s / 2).softmax(0)
                        values.append((p * (p.log() - q.log())).mean().item() * 4)
                    if kind == "features" and (k, i, j) in region:
                        values.append((s - t).square().mean().item())
        if positives:
            total += sum(values) / len(values)
    return total


@pytest.mark.parametrize("boxes", [BOXES, target([[4, 4, 50, 44]], []), target([], [])], ids=["three", "one", "none"])
@pytest.mark.parametrize("kind", ["classes", "features"])
def test_class_and_feature_terms_equal_the_loops(kind: str, boxes: Boxes) -> None:
    loss: Any = {"classes": LDClasses, "features": LDFeatures}[kind](**LEVELS)
    student, teacher = heads(0)[:2], heads(1)[:2]
    value = loss(student, teacher, boxes).item()
    assert value == pytest.approx(literal_of_the_head(kind, student, teacher, boxes), rel=1e-12)
    assert (value > 0.1) == any(len(found) for found in boxes.boxes)


@pytest.mark.parametrize("make", [LDClasses, LDFeatures])
def test_other_levels_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="built for 2 levels; got 4 and 4"):
        make(**LEVELS)(heads(0), heads(1), BOXES)
    with pytest.raises(ValueError, match="needs boxes"):
        make(**LEVELS)(heads(0)[:2], heads(1)[:2], None)
