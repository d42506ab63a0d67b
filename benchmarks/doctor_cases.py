"""Planted faults and healthy recipes of benchmarks/doctor.py: name, findings expected, and how each is made."""

import csv
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import doctor_data as data
import torch
from safetensors.torch import load_file, save_file

from densekd.recipe import parse_recipe
from densekd.run.folder import RunFolder
from densekd.run.launch import Launch
from densekd.run.train import train
from densekd.terminal import Terminal

Content = dict[str, Any]


@dataclass(frozen=True)
class Planted:
    """A recipe or run in which one thing is wrong, or nothing.

    Args:
        name: of the case.
        expected: findings of which one names the fault; none: healthy.
        make: returns the recipe's content, and its run folder or None.
    """

    name: str
    expected: tuple[str, ...]
    make: Callable[["Bench"], tuple[Content, Path | None]]


class Bench:
    """Data and trained models that cases share, made when they are first asked for and kept.

    Args:
        root: folder that holds them.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.scenes = data.make(root / "data" / "plain")

    def student(self, scenes: Path | None = None) -> Content:
        """Return the recipe of a student alone."""
        return {
            "name": "student",
            "data": {"dataset": "folder", "root": str(scenes or self.scenes), "batch_size": 8},
            "augment": {"crop": [48, 48]},
            "student": {"model": "fpn", "options": {"backbone": "resnet18_025", "channels": 16}},
            "optimizer": {"method": "adamw", "lr": 0.003, "weight_decay": 0.02},
            "training": {"steps": 100, "log_every": 2, "checkpoint_every": 100},
        }

    def distilled(self, scenes: Path | None = None, **term: Any) -> Content:
        """Return the recipe of a distillation by CWD, or by the term that is given."""
        recipe = self.student(scenes)
        recipe["teacher"] = {"checkpoint": str(self.teacher())}
        recipe["distill"] = [term or {"method": "cwd", "weight": 3}]
        return recipe

    def teacher(self) -> Path:
        """Return the run of a good teacher."""
        recipe = self.student()
        recipe["student"]["options"]["channels"] = 32
        return self.trained("teacher", recipe)

    def trained(self, name: str, recipe: Content) -> Path:
        """Train a recipe once; return its run folder."""
        folder = self.root / "runs" / name
        if not (folder / "results.json").is_file():
            torch.manual_seed(0)
            parsed = parse_recipe(recipe, name)
            train(parsed, RunFolder(folder), Launch(accelerator="cpu", devices="1"), "overwrite", Terminal(quiet=True))
        return folder

    def altered(self, name: str, part: str, factor: float) -> Path:
        """Return the teacher's package with the weights of a part multiplied."""
        folder = self.root / "packages" / name
        if not folder.is_dir():
            shutil.copytree(self.teacher() / "student", folder)
            weights = load_file(folder / "model.safetensors")
            chosen = {key: value * factor if part in key else value for key, value in weights.items()}
            save_file(chosen, folder / "model.safetensors")
        return folder


def changed(key: str, value: Any, base: str = "distilled") -> Callable[[Bench], tuple[Content, Path | None]]:
    """Return a maker of the healthy recipe with one key, ``a.b.c``, set."""

    def make(bench: Bench) -> tuple[Content, Path | None]:
        recipe = bench.distilled() if base == "distilled" else bench.student()
        *path, last = key.split(".")
        place = recipe
        for one in path:
            place = place.setdefault(one, {})
        place[last] = value
        return recipe, None

    return make


def term(method: str, weight: Any, **more: Any) -> Callable[[Bench], tuple[Content, Path | None]]:
    """Return a maker of a distillation by one term."""
    return lambda bench: (bench.distilled(method=method, weight=weight, **more), None)


def on(name: str, base: str = "distilled", **changes: Any) -> Callable[[Bench], tuple[Content, Path | None]]:
    """Return a maker of the healthy recipe on changed data."""

    def make(bench: Bench) -> tuple[Content, Path | None]:
        scenes = data.make(bench.root / "data" / name, **changes)
        return (bench.distilled(scenes) if base == "distilled" else bench.student(scenes)), None

    return make


def trained(name: str, base: str = "student", **sections: Content) -> Callable[[Bench], tuple[Content, Path | None]]:
    """Return a maker of a run that was really trained, with sections of its recipe updated."""

    def make(bench: Bench) -> tuple[Content, Path | None]:
        recipe = bench.distilled() if base == "distilled" else bench.student()
        for section, values in sections.items():
            recipe[section] |= values
        return recipe, bench.trained(name, recipe)

    return make


def teacher_of(make: Callable[[Bench], Content], name: str, **more: Any) -> Callable[[Bench], tuple[Content, Path]]:
    """Return a maker of a distillation by a teacher that was trained by another recipe."""

    def made(bench: Bench) -> tuple[Content, Any]:
        recipe = bench.distilled()
        recipe["teacher"] = {"checkpoint": str(bench.trained(name, make(bench))), **more}
        return recipe, None

    return made


def package(name: str, part: str, factor: float, **distill: Any) -> Callable[[Bench], tuple[Content, Path | None]]:
    """Return a maker of a distillation by a teacher with damaged weights."""

    def make(bench: Bench) -> tuple[Content, Path | None]:
        recipe = bench.distilled(**distill)
        recipe["teacher"] = {"checkpoint": str(bench.altered(name, part, factor))}
        return recipe, None

    return make


def curve(name: str, losses: list[float]) -> Callable[[Bench], tuple[Content, Path | None]]:
    """Return a maker of a copy of a healthy run whose losses are written anew."""

    def make(bench: Bench) -> tuple[Content, Path | None]:
        recipe, run = trained("alone")(bench)
        assert run is not None
        folder = bench.root / "runs" / name
        if not folder.is_dir():
            shutil.copytree(run, folder)
        with (folder / "metrics.csv").open("w", newline="") as handle:
            rows = [(2 * k + 2, loss) for k, loss in enumerate(losses)]
            csv.writer(handle).writerows([("step", "loss"), *rows])
        return recipe, folder

    return make


def begun(name: str, steps: int) -> Callable[[Bench], tuple[Content, Path | None]]:
    """Return a maker of a student that begins with the good teacher's weights, and learns from one of few steps."""

    def make(bench: Bench) -> tuple[Content, Path | None]:
        recipe = bench.distilled()
        recipe["student"] = {"checkpoint": str(bench.teacher())}
        weak = bench.student()
        weak["student"]["options"]["channels"] = 32
        weak["training"]["steps"] = steps
        recipe["teacher"] = {"checkpoint": str(bench.trained(name, weak))}
        return recipe, None

    return make


def few_steps(steps: int) -> Callable[[Bench], Content]:
    """Return a maker of a teacher's recipe of few steps."""

    def make(bench: Bench) -> Content:
        recipe = bench.student()
        recipe["student"]["options"]["channels"] = 32
        recipe["training"]["steps"] = steps
        return recipe

    return make


def other_order(name: str, order: tuple[int, ...]) -> Callable[[Bench], Content]:
    """Return a maker of a teacher's recipe whose data gives class c the number ``order[c]``."""

    def make(bench: Bench) -> Content:
        names = tuple(data.NAMES[order.index(k)] for k in range(4))
        change = data.numbered(order)
        recipe = bench.student(data.make(bench.root / "data" / name, change, change, names))
        recipe["student"]["options"]["channels"] = 32
        return recipe

    return make


def read_as(**convention: Any) -> Callable[[Bench], tuple[Content, Path | None]]:
    """Return a maker of a teacher that is fed by another input convention."""
    return changed("teacher.options", {"input": convention})


def untrained(bench: Bench) -> tuple[Content, Path | None]:
    """Return a distillation by a teacher with random weights."""
    recipe = bench.distilled()
    recipe["teacher"] = {
        "model": "fpn",
        "options": {"backbone": "resnet18_025", "channels": 32},
        "checkpoint": "untrained",
    }
    return recipe, None


def weak_run(bench: Bench) -> tuple[Content, Path | None]:
    """Return a finished run whose teacher had a fifth of the student's steps."""
    recipe = bench.distilled(method="cwd", weight=0.1)
    recipe["teacher"] = {"checkpoint": str(bench.trained("weak", few_steps(12)(bench)))}
    return recipe, bench.trained("by-weak", recipe)


def few_images(bench: Bench) -> tuple[Content, Path | None]:
    """Return a run that learnt two images by heart."""
    recipe = bench.student(data.make(bench.root / "data" / "two", val=data.darker(0.6), count=2))
    recipe["training"]["steps"] = 120
    recipe["augment"]["flip"] = False
    return recipe, bench.trained("two", recipe)


_SWAPPED = ("labels-swapped", "splits-disagree", "teacher-classes")
_HIGH = ("learning-rate-too-high", "loss-diverges", "loss-not-finite")
_LEAK = ("splits-leak",)
_INPUT = ("teacher-input",)
_255 = [1 / 255] * 3

FAULTS = (
    # Labels.
    Planted("train classes shifted by one", _SWAPPED, on("t-shift", train=data.numbered((1, 2, 3, 0)))),
    Planted("val classes shifted by one", _SWAPPED, on("v-shift", val=data.numbered((1, 2, 3, 0)))),
    Planted("two train classes swapped", _SWAPPED, on("t-swap", train=data.numbered((0, 2, 1, 3)))),
    Planted("two val classes swapped", _SWAPPED, on("v-swap", val=data.numbered((0, 1, 3, 2)))),
    Planted("swapped in most val images", _SWAPPED, on("v-most", val=data.numbered((0, 3, 2, 1), 0.8))),
    Planted("swapped, no teacher", _SWAPPED, on("t-swap", "student", train=data.numbered((0, 2, 1, 3)))),
    Planted("shifted, no teacher", _SWAPPED, on("v-shift", "student", val=data.numbered((1, 2, 3, 0)))),
    Planted("class missing in train", ("class-never-learnt",), on("t-without", train=data.without(3, 0))),
    Planted("class void in train", ("class-never-learnt",), on("t-voided", train=data.without(1, 255))),
    Planted("train 80 % void", ("mostly-void",), on("t-void", train=data.voided(0.8))),
    Planted("val 60 % void", ("mostly-void",), on("v-void", val=data.voided(0.6))),
    # Leakage.
    Planted("val copied from train", _LEAK, lambda b: (b.distilled(data.copied(b.root / "data" / "copy", 16)), None)),
    Planted("part of val copied", _LEAK, lambda b: (b.distilled(data.copied(b.root / "data" / "part", 3)), None)),
    Planted("copied with noise", _LEAK, lambda b: (b.student(data.copied(b.root / "data" / "noise", 16, 4)), None)),
    Planted(
        "alternating frames", _LEAK, lambda b: (b.student(data.drives(b.root / "data" / "alt", "alternating")), None)
    ),
    Planted("end of one drive", _LEAK, lambda b: (b.student(data.drives(b.root / "data" / "end", "end")), None)),
    # Teacher's input.
    Planted("teacher fed BGR", _INPUT, read_as(order="bgr", mean=[0.406, 0.456, 0.485], std=[0.225, 0.224, 0.229])),
    Planted("teacher fed -1..1", _INPUT, read_as(order="bgr", mean=[0.5] * 3, std=[0.5] * 3)),
    Planted("teacher fed 0..1", _INPUT, read_as(order="rgb", mean=[0.0] * 3, std=[1.0] * 3)),
    Planted("teacher fed 0..255", _INPUT, read_as(order="rgb", mean=[0.0] * 3, std=_255)),
    Planted("teacher fed as Caffe's", _INPUT, read_as(order="bgr", mean=[0.41, 0.46, 0.48], std=_255)),
    # Teacher.
    Planted("teacher of one step", ("teacher-below-chance",), teacher_of(few_steps(1), "one-step")),
    Planted("teacher untrained", ("teacher-below-chance",), untrained),
    Planted(
        "teacher's classes shifted",
        ("teacher-classes",),
        teacher_of(other_order("o-shift", (1, 2, 3, 0)), "o-shift", classes="by-number"),
    ),
    Planted(
        "two of the teacher's classes swapped",
        ("teacher-classes",),
        teacher_of(other_order("o-swap", (0, 1, 3, 2)), "o-swap", classes="by-number"),
    ),
    Planted("teacher below the student's start", ("teacher-below-student",), begun("weak", 12)),
    Planted("teacher below the trained student", ("teacher-below-student",), weak_run),
    Planted(
        "student larger than the teacher",
        ("student-larger-than-teacher",),
        changed("student.options", {"backbone": "resnet18_025", "channels": 128}),
    ),
    # Terms.
    Planted("pixel, temperature 100", ("temperature-flat",), term("pixel", 1, options={"temperature": 100})),
    Planted("cwd, temperature 1000", ("temperature-flat",), term("cwd", 3, options={"temperature": 1000})),
    Planted("pixel, temperature 0.01", ("temperature-one-hot",), term("pixel", 1, options={"temperature": 0.01})),
    Planted("cwd, temperature 0.01", ("temperature-one-hot",), term("cwd", 3, options={"temperature": 0.01})),
    Planted("cwd, weight 1e4", ("term-too-strong",), term("cwd", 1e4)),
    Planted("pixel, weight 1e6", ("term-too-strong",), term("pixel", 1e6)),
    Planted("cwd, weight 1e-5", ("term-too-weak",), term("cwd", 1e-5)),
    Planted("pixel, weight 1e-7", ("term-too-weak",), term("pixel", 1e-7)),
    Planted("weight 0", ("term-without-gradient",), term("cwd", 0)),
    Planted("teacher's classifier is zero", ("tap-constant",), package("zero", "head.classifier", 0.0)),
    Planted("teacher's weights too large", ("tap-not-finite", "teacher-below-chance"), package("huge", "head", 1e30)),
    Planted(
        "student's tap is frozen",
        ("term-without-gradient",),
        lambda b: (
            b.distilled(method="at", weight=1, student="features.0", teacher="features.0")
            | {
                "student": {
                    "model": "fpn",
                    "options": {"backbone": "resnet18_025", "channels": 16, "freeze": ["stem", "stage1"]},
                }
            },
            None,
        ),
    ),
    # Learning rate and schedule.
    Planted("learning rate x 100", _HIGH, changed("optimizer.lr", 0.3)),
    Planted("learning rate x 1000", _HIGH, changed("optimizer.lr", 3.0, "student")),
    Planted("SGD with learning rate 20", _HIGH, changed("optimizer", {"method": "sgd", "lr": 20.0})),
    Planted("learning rate / 1000", ("learning-rate-too-low",), changed("optimizer.lr", 3e-6)),
    Planted("learning rate / 10000", ("learning-rate-too-low",), changed("optimizer.lr", 3e-7, "student")),
    Planted(
        "SGD with learning rate 1e-6", ("learning-rate-too-low",), changed("optimizer", {"method": "sgd", "lr": 1e-6})
    ),
    Planted("5 steps", ("schedule-too-short",), changed("training.steps", 5)),
    Planted("20 steps", ("schedule-too-short",), changed("training.steps", 20, "student")),
    Planted("warm-up of 80 of 100 steps", ("warmup-too-long",), changed("optimizer.warmup", 80)),
    # Runs.
    Planted("run at learning rate x 1000", _HIGH, trained("high", optimizer={"lr": 3.0})),
    Planted("run at learning rate / 1000", ("loss-does-not-fall",), trained("low", optimizer={"lr": 3e-6})),
    Planted(
        "run that still rises",
        ("schedule-too-short",),
        trained("rising", training={"steps": 40, "validate_every": 10}, optimizer={"power": 0.0, "lr": 0.0003}),
    ),
    Planted(
        "losses rise",
        ("loss-diverges",),
        curve("rises", [2 * 0.8**k for k in range(25)] + [1.05**k for k in range(25)]),
    ),
    Planted(
        "losses end in NaN", ("loss-not-finite",), curve("nan", [2 * 0.9**k for k in range(20)] + [float("nan")] * 5)
    ),
    Planted("two images by heart", ("student-overfits",), few_images),
)

HEALTHY = (
    Planted("cwd", (), lambda b: (b.distilled(), None)),
    Planted("pixel, temperature 4", (), term("pixel", 1, options={"temperature": 4})),
    Planted("pixel, temperature 1", (), term("pixel", 1, options={"temperature": 1})),
    Planted("dist", (), term("dist", 1)),
    Planted("at on features", (), term("at", 100, student="features.3", teacher="features.3")),
    Planted("cwd with a decaying weight", (), term("cwd", {"value": 3, "decay": [30, 60], "decay_shape": "linear"})),
    Planted("student alone", (), lambda b: (b.student(), None)),
    Planted("learning rate / 3", (), changed("optimizer.lr", 0.001)),
    Planted("learning rate x 3", (), changed("optimizer.lr", 0.01)),
    Planted("SGD", (), changed("optimizer", {"method": "sgd", "lr": 0.02})),
    Planted("warm-up of 10 steps", (), changed("optimizer.warmup", 10)),
    Planted("1000 steps", (), changed("training.steps", 1000)),
    Planted("other scenes", (), on("other", seed=5)),
    Planted("20 % void", (), on("some-void", train=data.voided(0.2), val=data.voided(0.2))),
    Planted("darker validation", (), on("darker", val=data.darker(0.85))),
    Planted("teacher of another order, by name", (), teacher_of(other_order("o-shift", (1, 2, 3, 0)), "o-shift")),
    Planted(
        "student begins with a checkpoint",
        (),
        lambda b: (
            b.distilled() | {"student": {"checkpoint": str(trained("alone")(b)[1])}},
            None,
        ),
    ),
    Planted("run of the student alone", (), trained("alone")),
    Planted("run of cwd", (), trained("by-cwd", "distilled")),
)
