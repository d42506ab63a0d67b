"""The end of a training: export of the student, scores on the validation split, pictures, report."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import nn

from densekd.atomic import write_text
from densekd.builders.build import Built
from densekd.evaluation import agreement, evaluate, predictor, sample_pictures, scoring_of
from densekd.evaluation.pictures import confusion_picture
from densekd.models.package import load_package, save_package
from densekd.recipe import Recipe
from densekd.report import write_report
from densekd.run.folder import RunFolder
from densekd.titles import titles_of

_PICTURES = 6


def finish(recipe: Recipe, built: Built, run: RunFolder, baseline: Path | None, console: Console) -> dict[str, Any]:
    """Export the student, score everybody on the whole validation split, write results, pictures and report.

    Args:
        recipe: what to export, and how images are predicted.
        built: the trained student and its teacher.
        run: the folder to fill.
        baseline: package of the student trained alone, or None.
        console: for people.

    Returns:
        The content of results.json.
    """
    export_student(recipe, built, run)
    files, resize = built.validation, recipe.data.input_size
    # The exported package is scored, not the module in memory: what is delivered is what is measured.
    models: dict[str, nn.Module] = {"student": load_package(run.student).model}
    if built.scored_teacher is not None:
        models["teacher"] = built.scored_teacher
    if baseline is not None:
        models["baseline"] = load_package(baseline).model
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    scoring = scoring_of(recipe.evaluation, recipe.data.workers)
    scores = {name: evaluate(model.to(device), files, resize, scoring) for name, model in models.items()}
    counts = {name: one.pop("confusion", None) for name, one in scores.items()}
    if counts["student"] is not None:
        write_text(run.path / "confusion.svg", confusion_picture(np.array(counts["student"]), files.classes))
    if scores["student"][titles_of(scores["student"]).headline] is None:
        console.print(
            "[yellow]no labels:[/] there are no scores; agreement with the teacher is all that can be measured"
        )
    if built.scored_teacher is not None:
        scores["student"] |= agreement(models["student"], built.scored_teacher, files, resize, scoring.inference)
        # The teacher is counted as it was, not with its batch norms fused.
        scores["teacher"]["parameters"] = built.teacher.parameters
    results = {"split": recipe.data.val, "teacher": None, "baseline": None, **scores, "palette": _palette(built)}
    write_text(run.results, json.dumps(results, indent=1) + "\n")
    predictors = {name: predictor(model, files, resize, scoring.inference) for name, model in models.items()}
    sample_pictures(predictors, files, run.path / "predictions", evenly_spaced(len(files), _PICTURES))
    report = write_report(run.path)
    console.print(f"student: {run.student}\nreport:  {report}", highlight=False, soft_wrap=True)
    return results


def export_student(recipe: Recipe, built: Built, run: RunFolder) -> None:
    """Write the student package: the last weights or the best, without the auxiliary head."""
    student = built.distiller.student
    if recipe.training.export == "best" and run.best.is_file():
        checkpoint = torch.load(run.best, map_location="cpu", weights_only=True)["state_dict"]
        own = {key: value for key, value in checkpoint.items() if key.startswith("student.")}
        student.load_state_dict({key.removeprefix("student."): value for key, value in own.items()})
    if hasattr(student, "auxiliary"):
        student.auxiliary = None  # type: ignore[assignment]
    save_package(student, built.package, run.student)


def evenly_spaced(length: int, count: int) -> list[int]:
    """Return at most ``count`` indices from the first to the last of ``length``, evenly spaced and different."""
    return sorted({round(k * (length - 1) / max(1, count - 1)) for k in range(count)})


def _palette(built: Built) -> dict[str, list[int]]:
    """Return the color of each class by name."""
    classes = built.validation.classes
    return {name: list(color) for name, color in zip(classes.names, classes.palette, strict=True)}
