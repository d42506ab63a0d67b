"""Commands that run a finished model: ``evaluate``, ``predict``."""

from pathlib import Path
from typing import Annotated

import typer

from densekd.cli.arguments import EvaluationOverrides, JsonPath, ModelPath, Trust
from densekd.cli.console import console, print_next, print_next_prediction, print_notes, print_plain, write_json
from densekd.cli.own_files import PREDICTED, SCORES, Force, require_own_json
from densekd.trust import trust_modules

DataPath = Annotated[
    Path | None,
    typer.Option("--data", help="data folder in any known layout, or a recipe; default: the run's own data"),
]
EvaluationRecipe = Annotated[
    Path | None,
    typer.Option("--recipe", help="recipe file, run folder or shipped name: its data, and how it evaluates"),
]
Split = Annotated[
    str | None,
    typer.Option(help="default: the recipe's validation split, or val"),
]
OutPath = Annotated[
    Path | None,
    typer.Option("--out", help="default: predicted/ beside the model"),
]
Submission = Annotated[
    str | None,
    typer.Option(help="for a server: cityscapes, ade20k or voc"),
]
Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        help="images, videos, folders, patterns in quotes, addresses; a data folder or a recipe; key=value; none: "
        "what a run was validated on",
        show_default=False,
    ),
]
ResumePrediction = Annotated[
    bool,
    typer.Option("--resume", help="leave out what an earlier prediction into the same folder has done"),
]
MaxMegapixels = Annotated[
    float | None,
    typer.Option(help="largest picture that is read; default: the recipe's data.max_megapixels, or 400"),
]
Device = Annotated[
    str,
    typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps; auto: a GPU where there is one"),
]
LoadingWorkers = Annotated[int, typer.Option("--workers", min=0, max=1024, help="loading processes")]
WritingThreads = Annotated[
    int,
    typer.Option("--workers", min=0, max=1024, help="threads that read and write pictures while the model runs"),
]
LoadedBatch = Annotated[
    int | None,
    typer.Option("--batch", min=1, max=4096, help="images loaded together; default: 8"),
]


def evaluate(
    model: ModelPath,
    overrides: EvaluationOverrides = None,
    data: DataPath = None,
    recipe: EvaluationRecipe = None,
    split: Split = None,
    max_megapixels: MaxMegapixels = None,
    device: Device = "auto",
    workers: LoadingWorkers = 0,
    batch: LoadedBatch = None,
    trust: Trust = None,
    json: JsonPath = None,
    force: Force = False,
) -> None:
    """Score a model on whole images at their original size.

    For instance: crop=[512,1024] flip=horizontal.
    """
    from densekd.data.picture import set_max_megapixels
    from densekd.models.open import open_model
    from densekd.report.tables import score_table, worst_lines
    from densekd.run.evaluate import Placement, evaluate_opened
    from densekd.run.evaluation_data import Asked

    trust_modules(trust)
    require_own_json(json, SCORES, force)
    set_max_megapixels(max_megapixels, "command")
    placement = Placement(device, workers, batch)
    opened = open_model(model)
    print_notes(opened.notes)
    scores = evaluate_opened(opened, model, Asked(data, recipe, split), overrides or [], placement)
    print_notes(scores.get("notes", ()))
    console.print(score_table(scores))
    for line in worst_lines(scores):
        print_plain(line)
    write_json(json, scores)
    print_next_prediction(model, trust)


def predict(
    model: ModelPath,
    inputs: Inputs = None,
    recipe: EvaluationRecipe = None,
    split: Split = None,
    out: OutPath = None,
    resume: ResumePrediction = False,
    submission: Submission = None,
    max_megapixels: MaxMegapixels = None,
    device: Device = "auto",
    workers: WritingThreads = 0,
    trust: Trust = None,
    json: JsonPath = None,
    force: Force = False,
) -> None:
    """Predict pictures and videos: labels, overlays, boxes. Or write the files of a submission."""
    from densekd.data.picture import RGB, set_max_megapixels
    from densekd.data.picture_notes import notes_of_images
    from densekd.models.open import open_model
    from densekd.run.evaluate import predictor_of
    from densekd.run.evaluation_data import Asked, asked_recipe
    from densekd.run.predict import predict_inputs, require_own_folder, require_same_settings, written_by
    from densekd.run.prediction_inputs import is_override, prediction_inputs
    from densekd.tasks.common import images_at

    require_own_json(json, PREDICTED, force)
    changes = [text for text in inputs or [] if is_override(text)]
    texts = [text for text in inputs or [] if not is_override(text)]
    out = out or _place_of(model) / "predicted"
    trust_modules(trust)
    set_max_megapixels(max_megapixels, "command")
    opened = open_model(model)
    print_notes(opened.notes)
    # A run has images of its own, those that it was validated on.
    if not texts and recipe is None and (model / "recipe.yaml").is_file():
        recipe = model
    predictor = predictor_of(opened, model, changes, asked_recipe(recipe), device)
    with prediction_inputs(texts, Asked(None, recipe, split), opened) as found:
        # What viewers show is said of pictures for viewers.
        if found.folder is not None and opened.config.bands == RGB:
            print_notes(notes_of_images(images_at(found.folder).values()))
        if submission is not None:
            require_own_folder(out, (), force)
            count = predictor.write_submission(found.pictures(), out, submission)
            done = f"{count} images: {out}"
            print_plain(done)
            write_json(json, {"model": str(model), "out": str(out), "done": done})
            return
        require_own_folder(out, written_by(predictor, found), force)
        require_same_settings(out, model, changes, resume)
        done = predict_inputs(predictor, found, out, resume, workers)
        print_plain(done)
        write_json(json, {"model": str(model), "out": str(out), "done": done})
    print_next("densekd", "export", model, "--to", "onnx", trust=trust)


def _place_of(model: Path) -> Path:
    """Return the folder that a model lies in; of a name on a hub, the current folder."""
    if model.is_dir():
        return model
    return model.parent if model.parent.is_dir() else Path()
