"""Commands that run a finished model: ``evaluate``, ``predict``."""

from pathlib import Path
from typing import Annotated

import typer

from densekd.cli.arguments import EvaluationOverrides, JsonPath, ModelPath
from densekd.cli.console import console, print_notes, print_plain, write_json

DataPath = Annotated[
    Path | None,
    typer.Option("--data", help="data folder or recipe; default: the run's own data"),
]
Split = Annotated[
    str | None,
    typer.Option(help="default: the recipe's validation split, or val"),
]
OutPath = Annotated[
    Path | None,
    typer.Option("--out", help="default: predictions/ beside the model"),
]
Submission = Annotated[
    str | None,
    typer.Option(help="for a server: cityscapes, ade20k or voc"),
]


def evaluate(
    model: ModelPath,
    overrides: EvaluationOverrides = None,
    data: DataPath = None,
    split: Split = None,
    json: JsonPath = None,
) -> None:
    """Score a model on whole images at their original size.

    For instance: crop=[512,1024] flip=horizontal.
    """
    from densekd.models.open import open_model
    from densekd.report.tables import score_table
    from densekd.run.evaluate import evaluate_opened

    opened = open_model(model)
    print_notes(opened.notes)
    scores = evaluate_opened(opened, model, data, split, overrides or [])
    console.print(score_table(scores))
    write_json(json, scores)


def predict(
    model: ModelPath,
    images: Annotated[Path, typer.Argument(help="an image or a folder of images")],
    overrides: EvaluationOverrides = None,
    out: OutPath = None,
    submission: Submission = None,
) -> None:
    """Write label PNGs and overlays, boxes and results, or the files of a submission."""
    from densekd.models.open import open_model
    from densekd.run.evaluate import predictor_of

    out = out or _place_of(model) / "predictions"
    opened = open_model(model)
    print_notes(opened.notes)
    predictor = predictor_of(opened, model, overrides or [])
    if submission is not None:
        count = predictor.write_submission(images, out, submission)
        print_plain(f"{count} images: {out}")
        return
    count = predictor.predict_folder(images, out)
    written = ", ".join(str(out / name) for name in predictor.writes)
    print_plain(f"{count} images: {written}")


def _place_of(model: Path) -> Path:
    """Return the folder that a model lies in; of a name on a hub, the current folder."""
    if model.is_dir():
        return model
    return model.parent if model.parent.is_dir() else Path()
