"""End of a training: export of the student, scores of the validation split, report."""

from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from densekd.atomic import atomic, write_text
from densekd.builders.build import Built
from densekd.data.contract import Files
from densekd.errors import UserError, see
from densekd.models import contract
from densekd.models.open import open_model
from densekd.models.package import save_package
from densekd.recipe import Recipe
from densekd.report import write_report
from densekd.report.metrics import METRICS, checksum_of
from densekd.run.baseline import budget_facts
from densekd.run.checkpoint_files import fault_of, read_checkpoint
from densekd.run.checks import learnt_nothing
from densekd.run.devices import training_device
from densekd.run.folder import RunFolder
from densekd.run.image_scores import write_image_scores
from densekd.run.latency import latency_of
from densekd.run.scoring import draw_pictures, in_order, score_models
from densekd.seal import read_document, write_document
from densekd.tasks.common import sample_names
from densekd.tasks.protocol import BY_IMAGE, Figure, Scores
from densekd.tasks.together import Loading

_PICTURES = 6
# Folder of a student that is not yet scored.
_CANDIDATE = "student.new"


def finish(
    recipe: Recipe,
    built: Built,
    run: RunFolder,
    baselines: Mapping[str, Path],
    console: Console,
    device: torch.device | None = None,
) -> dict[str, Any]:
    """Export the student, score all models on the validation split, write pictures and report.

    Args:
        recipe: what to export, and how images are predicted.
        built: the trained student and its teacher.
        run: the folder to fill.
        baselines: packages of the student trained alone, by their keys in ``results.json``; maybe none.
        console: for people.
        device: where models are scored; None: a GPU where there is one.

    Returns:
        The content of results.json.
    """
    candidate = run.path / _CANDIDATE
    export_student(recipe, built, run, candidate, console)
    files, resize = built.validation, recipe.data.input_size
    models = _models(built, candidate, baselines, device)
    task = built.task
    # Each image is read once, and goes through each model once.
    shown = evenly_spaced(len(files), _PICTURES)
    found = score_models(task, models, files, resize, Loading(recipe.data.loading_processes), shown)
    scores = found.scores
    # What pairs this run with others, image by image, has a file of its own.
    write_image_scores({name: of_one.pop(BY_IMAGE, None) for name, of_one in scores.items()}, run)
    # What was exported and scored takes the place of an earlier student.
    _put_in_place(candidate, run.student)
    # Images without labels have no scores.
    if scores["student"][task.metrics.headline.key] is None:
        console.print("no labels: there are no scores; agreement with the teacher is all that can be measured")
    nothing = learnt_nothing(built, scores["student"])
    if nothing is not None:
        console.print(f"warning: {nothing}", style="yellow", highlight=False, soft_wrap=True)
    # The teacher is counted as it was, not with its batch norms fused.
    if built.teacher is not None and built.scored_teacher is not None:
        scores["teacher"]["parameters"] = built.teacher.parameters
    # The numbers, then drawings of them, then pictures of a few images, then the page of all.
    results = _results(built, recipe.data.val, scores)
    if nothing is not None:
        results["warnings"] = [nothing]
    if baselines:
        results["budget"] = budget_facts(recipe, baselines["baseline"]) | _measured(run)
    # The student alone is one model, however long it was trained: one of two is timed and shown.
    models.pop("baseline_seconds", None)
    latency = latency_of(recipe, built, models, console)
    if latency is not None:
        results["latency"] = latency
    # Rows that were damaged since are no curves of this training.
    checksum = checksum_of(run.path / METRICS)
    if checksum is not None:
        results[METRICS] = checksum
    results["figures"] = _write_figures(task.figures(scores["student"], files), run)
    write_document(run.results, results)
    draw_pictures(built, models, _samples(files, shown), in_order(found, shown), run.path / "predictions")
    gain = _no_gain(built, scores)
    if gain is not None:
        console.print(gain, highlight=False, soft_wrap=True)
    report = write_report(run.path)
    console.print(f"student: {run.student}\nreport:  {report}", highlight=False, soft_wrap=True)
    return results


def _models(
    built: Built, student: Path, baselines: Mapping[str, Path], device: torch.device | None
) -> dict[str, nn.Module]:
    """Return the models that are scored, by their keys in ``results.json``, on the device."""
    # The exported package is scored, not the module in memory: delivered is what is measured.
    models: dict[str, nn.Module] = {"student": open_model(student).model}
    if built.scored_teacher is not None:
        models["teacher"] = built.scored_teacher
    for role, package in baselines.items():
        models[role] = open_model(package).model
    device = training_device() if device is None else device
    return {role: model.to(device) for role, model in models.items()}


def _no_gain(built: Built, scores: Mapping[str, Scores]) -> str | None:
    """Say that the distilled student is no better than alone, and where to look for reasons."""
    headline = built.task.metrics.headline
    student, alone = scores["student"][headline.key], scores.get("baseline", {}).get(headline.key)
    if student is None or alone is None or headline.gain(student, alone) > 0:
        return None
    found, other = headline.format(student), headline.format(alone)
    return f"the distilled student is no better than alone: {headline.title} {found}, alone {other}. {see('no-gain')}"


def export_student(recipe: Recipe, built: Built, run: RunFolder, folder: Path, console: Console) -> None:
    """Write the student package: the last weights or the best, without the auxiliary head.

    Args:
        recipe: which weights.
        built: the student as its training left it.
        run: with the best checkpoint; a damaged one gives way to the last weights.
        folder: of the package.
        console: for people.
    """
    student = built.distiller.student
    if recipe.training.export == "best":
        fault = fault_of(run.best) if run.best.exists() else "it is not there"
        if fault is None:
            _load_student(student, run.best)
        else:
            line = f"warning: {run.best} is damaged or missing: {fault}; the last weights are exported instead"
            console.print(line, style="yellow", highlight=False, markup=False, soft_wrap=True)
    # Only training needs the auxiliary head.
    contract.drop_auxiliary(student)
    save_package(student, built.package, folder)


def _load_student(student: nn.Module, path: Path) -> None:
    """Load the student's part of a checkpoint, which holds the whole Distiller."""
    state = read_checkpoint(path)["state_dict"]
    own = {key: value for key, value in state.items() if key.startswith("student.")}
    student.load_state_dict({key.removeprefix("student."): value for key, value in own.items()})


def _put_in_place(package: Path, folder: Path) -> None:
    """Move the files of a package over those of another."""
    for path in package.iterdir():
        with atomic(folder / path.name) as temporary:
            path.replace(temporary)
    package.rmdir()


def _samples(files: Files, shown: Sequence[int]) -> Files:
    """Return a few images under names of which no two are equal."""
    chosen: list[Any] = [files.items[index] for index in shown]
    names = sample_names([item.stem for item in chosen])
    items = [_renamed(item, name) for item, name in zip(chosen, names, strict=True)]
    kind: Any = files
    samples: Files = replace(kind, items=tuple(items))
    return samples


def _renamed(item: Any, name: str) -> Any:
    """Return an image of a split, a named tuple or a dataclass, under another name."""
    if item.stem == name:
        return item
    if is_dataclass(item) and not isinstance(item, type):
        return replace(item, stem=name)
    return item._replace(stem=name)


def evenly_spaced(length: int, count: int) -> list[int]:
    """Return at most ``count`` different indices below ``length``, evenly spaced."""
    return sorted({round(k * (length - 1) / max(1, count - 1)) for k in range(count)})


def _results(built: Built, split: str, scores: Mapping[str, Scores]) -> dict[str, Any]:
    """Return the content of results.json, which says its task and what the scores are called."""
    metrics = built.task.metrics
    results: dict[str, Any] = {
        "task": built.package.task,
        "metrics": metrics.to_json(),
        "split": split,
    }
    for name in ("teacher", "baseline", "baseline_seconds", "student"):
        found = scores.get(name)
        # A run has one baseline unless it asks for both.
        if found is None and name == "baseline_seconds":
            continue
        if found is not None:
            # What is too large for a results file is left out.
            found = {key: value for key, value in found.items() if key not in metrics.details}
        results[name] = found
    legend = built.task.legend(built.validation)
    results["palette"] = {name: list(color) for name, color in legend.items()}
    return results


def _measured(run: RunFolder) -> dict[str, Any]:
    """Return the measured seconds that decided the steps of a training; nothing where none were."""
    try:
        budget = read_document(run.environment).get("budget")
    except (UserError, OSError):
        # A damaged record of how a training was started takes no scores with it.
        return {}
    return {"measured": budget} if isinstance(budget, dict) else {}


def _write_figures(figures: Sequence[Figure], run: RunFolder) -> list[dict[str, str]]:
    """Write drawings into the run folder; return how the report shows them."""
    shown: list[dict[str, str]] = []
    for figure in figures:
        write_text(run.path / f"{figure.name}.svg", figure.svg)
        described = {"title": figure.title, "description": figure.description}
        shown.append({"file": f"{figure.name}.svg", **described})
    return shown
