"""The command line. Thin: every command imports what it needs when it runs, so that ``--help`` is instant."""

import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from densekd.errors import UserError

app = typer.Typer(
    help="Distil big segmentation and detection models into small ones that ship.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
console = Console()

data_app = typer.Typer(help="Check, prepare and pack data.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data_app, name="data")

RecipePath = Annotated[str, typer.Argument(help="a YAML file, a run folder, or the name of a shipped recipe")]
Overrides = Annotated[list[str] | None, typer.Argument(help="key.path=value", show_default=False)]
RunPath = Annotated[Path | None, typer.Option("--run", help="run folder; default runs/<name>")]
Accelerator = Annotated[str, typer.Option(help="auto, cpu, gpu, ...")]
Devices = Annotated[str, typer.Option(help="number or list of devices")]
Nodes = Annotated[int, typer.Option(help="number of machines")]
Strategy = Annotated[str, typer.Option(help="Lightning strategy: auto, ddp, fsdp, ...")]
Resume = Annotated[bool, typer.Option("--resume", help="continue the run exactly where it stopped")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="delete the run folder first")]
ModelPath = Annotated[
    Path, typer.Argument(parser=lambda name: _located(name), help="run folder, student folder, checkpoint or its URL")
]
Workers = Annotated[int, typer.Option("--workers", help="processes")]
EvaluationChanges = Annotated[
    list[str] | None, typer.Argument(help="key=value of the recipe's evaluation part", show_default=False)
]
DataPath = Annotated[Path | None, typer.Option("--data", help="data folder or recipe; default: the run's own data")]


@app.command()
def train(
    recipe: RecipePath,
    overrides: Overrides = None,
    run: RunPath = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    accelerator: Accelerator = "auto",
    devices: Devices = "auto",
    nodes: Nodes = 1,
    strategy: Strategy = "auto",
) -> None:
    """Train a student, with or without a teacher; evaluate, export and report."""
    from densekd.recipe import load_recipe

    loaded = load_recipe(_recipe_file(recipe), overrides or ())
    from densekd.report.tables import comparison_table
    from densekd.run.folder import RunFolder
    from densekd.run.train import Launch
    from densekd.run.train import train as run_training

    _silence_libraries()
    existing: Literal["refuse", "resume", "overwrite"] = "resume" if resume else "overwrite" if overwrite else "refuse"
    folder = RunFolder(
        run or (Path(recipe) if (Path(recipe) / "recipe.yaml").is_file() else Path("runs") / loaded.name)
    )
    results = run_training(loaded, folder, Launch(accelerator, devices, nodes, strategy), existing, console)
    if results:
        console.print(comparison_table(results))


@app.command()
def quickstart(
    run: Annotated[Path, typer.Option("--run", help="run folder")] = Path("runs/quickstart"),
    overwrite: Overwrite = False,
) -> None:
    """Make synthetic street scenes, train teacher, student alone and student with CWD, and compare. No download."""
    from densekd.run.quickstart import quickstart as run_quickstart

    _silence_libraries()
    run_quickstart(run, _shipped("quickstart").parent, overwrite, console)


@app.command()
def evaluate(
    model: ModelPath,
    changes: EvaluationChanges = None,
    data: DataPath = None,
    split: Annotated[str | None, typer.Option(help="default: the recipe's validation split, or val")] = None,
    json: Annotated[Path | None, typer.Option("--json", help="also write the scores here")] = None,
) -> None:
    """Score a model on whole images at their original size, for instance: crop=[512,1024] flip=horizontal."""
    from densekd.evaluation import evaluate_path
    from densekd.report.tables import score_table

    scores = evaluate_path(model, data, split, changes or [])
    console.print(score_table(scores))
    if json is not None:
        import json as json_module

        from densekd.atomic import write_text

        write_text(json, json_module.dumps(scores, indent=1) + "\n")


@app.command()
def predict(
    model: ModelPath,
    images: Annotated[Path, typer.Argument(help="an image or a folder of images")],
    changes: EvaluationChanges = None,
    out: Annotated[Path | None, typer.Option("--out", help="default: predictions/ beside the model")] = None,
    submission: Annotated[str | None, typer.Option(help="for a server: cityscapes, ade20k or voc")] = None,
) -> None:
    """Write label PNGs and overlays, a detector's boxes and results, or the files of a benchmark's submission."""
    from densekd.evaluation import open_predictor, predict_folder, write_submission

    out = out or (model if model.is_dir() else model.parent) / "predictions"
    predict = open_predictor(model, changes or [])
    if submission is not None:
        count = write_submission(predict, images, out, submission)
        console.print(f"{count} images: {out}", highlight=False, soft_wrap=True)
        return
    count = predict_folder(predict, images, out)
    written = ", ".join(str(out / name) for name in predict.writes)
    console.print(f"{count} images: {written}", highlight=False, soft_wrap=True)


@app.command()
def inspect(
    model: Annotated[str, typer.Argument(help="model name, run folder, student folder, checkpoint or its URL")],
    options: Annotated[list[str] | None, typer.Argument(help="key=value for a model name", show_default=False)] = None,
    size: Annotated[str, typer.Option(help="height x width of the input")] = "512x512",
) -> None:
    """Show what a checkpoint holds; parameters, FLOPs and taps with their shapes."""
    from densekd.cli.inspection import describe_file, describe_model

    path = _located(model)
    described = describe_file(path)
    if described is not None:
        console.print(described)
    console.print(describe_model(str(path), options or [], size))


@app.command()
def convert(
    model: ModelPath,
    out: Annotated[Path, typer.Argument(help="OUT.safetensors, OUT.pth, or a folder for a package")],
    classes: Annotated[
        str | None, typer.Option(help="whose classes they are: cityscapes, ade20k, voc, cocostuff")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="replace what is there")] = False,
) -> None:
    """Write any known checkpoint as a densekd package, or as plain weights under densekd's names."""
    from densekd.models.open import convert as run_convert

    _, config = run_convert(model, out, classes, "replace" if force else "refuse")
    console.print(f"{config.model}, {len(config.classes)} classes: {out}", highlight=False, soft_wrap=True)


@app.command()
def check(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Sample the data, build the models, run a few steps, and estimate memory and time."""
    from densekd.recipe import load_recipe

    loaded = load_recipe(_recipe_file(recipe), overrides or ())
    from densekd.run.preflight import check as run_check

    _silence_libraries()
    console.print(run_check(loaded, console))


@app.command()
def cache(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Write a recipe's teacher cache, so that trainings that share it never run the teacher."""
    from densekd.recipe import load_recipe

    loaded = load_recipe(_recipe_file(recipe), overrides or ())
    from densekd.builders.build import build
    from densekd.errors import RecipeError
    from densekd.kernels import using
    from densekd.run.train import fill_cache

    _silence_libraries()
    found = build(loaded).cache
    if found is None:
        raise RecipeError("teacher.cache is missing; add for instance teacher.cache.folder=... teacher.cache.views=4.")
    with using(loaded.kernels):
        fill_cache(found, console)


@data_app.command("check")
def data_check(
    recipe: RecipePath,
    overrides: Overrides = None,
    json: Annotated[Path | None, typer.Option("--json", help="also write everything here")] = None,
    workers: Workers = 4,
) -> None:
    """Read every image and label of a recipe's data; exit 1 if a training would fail."""
    from densekd.atomic import write_text
    from densekd.recipe import load_recipe
    from densekd.run.preflight import check_data, data_table

    report = check_data(load_recipe(_recipe_file(recipe), overrides or ()), workers)
    console.print(data_table(report))
    if json is not None:
        import json as json_module

        write_text(json, json_module.dumps(report.to_json(), indent=1) + "\n")
    if report.fails:
        raise typer.Exit(1)


@data_app.command("prepare")
def data_prepare(
    dataset: Annotated[str, typer.Argument(help="cityscapes or cocostuff10k")],
    root: Annotated[Path, typer.Argument(help="folder of the data")],
    workers: Workers = 4,
) -> None:
    """Make the label pictures that training reads from what a benchmark publishes."""
    from densekd.data.prepare import PREPARE
    from densekd.registry import resolve

    count = resolve(dataset, PREPARE, "dataset to prepare")(root, workers)
    console.print(f"{count} labels written", highlight=False)


@data_app.command("shard")
def data_shard(
    recipe: RecipePath,
    out: Annotated[Path, typer.Argument(help="folder for the tars and their indices")],
    overrides: Overrides = None,
    megabytes: Annotated[int, typer.Option(help="size of one tar")] = 500,
    images: Annotated[
        Literal["as-is", "uncompressed"], typer.Option(help="uncompressed: larger, and nothing to decode")
    ] = "as-is",
) -> None:
    """Pack a recipe's data into tars; train from them with data.dataset=shards data.root=OUT."""
    from rich.progress import track

    from densekd.builders.build import build_files
    from densekd.data.files import SegmentationFiles
    from densekd.data.shards import write_shards
    from densekd.recipe import load_recipe

    data = load_recipe(_recipe_file(recipe), overrides or ()).data
    for split in dict.fromkeys((data.train, data.val)):
        files = build_files(data, split)
        if not isinstance(files, SegmentationFiles):
            raise UserError(f"{data.dataset}: shards hold label maps, and this data has boxes; train from it as it is.")
        for _ in track(
            write_shards(files, split, out, megabytes, images), f"packing {split}", len(files), transient=True
        ):
            pass
        console.print(f"{split}: {len(files)} samples in {out}", highlight=False, soft_wrap=True)


@app.command()
def losses() -> None:
    """List the distillation losses."""
    from densekd.cli.inspection import describe_losses

    console.print(describe_losses())


@app.command()
def models(
    size: Annotated[str, typer.Option(help="height x width that multiply-adds are counted at")] = "512x1024",
    json: Annotated[Path | None, typer.Option("--json", help="also write the numbers here")] = None,
) -> None:
    """List architectures, backbones, and typical configurations with their size, cost and published scores."""
    from densekd.cli.inspection import describe_models, measured_table

    table, rows = describe_models(size)
    console.print(table, measured_table(rows, size))
    if json is not None:
        import json as json_module

        from densekd.atomic import write_text

        write_text(json, json_module.dumps(rows, indent=1) + "\n")


@app.command()
def datasets() -> None:
    """List the datasets."""
    from densekd.cli.inspection import describe_datasets

    console.print(describe_datasets())


@app.command()
def schema() -> None:
    """Print the JSON schema of a recipe, for editors."""
    import json

    from densekd.recipe import Recipe

    sys.stdout.write(json.dumps(Recipe.model_json_schema(), indent=1) + "\n")


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="print the version and exit")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="show tracebacks")] = False,
) -> None:
    if version:
        from densekd import __version__

        console.print(f"densekd {__version__}", highlight=False)
        raise typer.Exit
    context.obj = debug


def main() -> None:
    """Run the command line; one clear message and an exit status for what the user can mend."""
    debug = "--debug" in sys.argv or os.environ.get("DENSEKD_DEBUG") == "1"
    if "--debug" in sys.argv:
        # Accepted anywhere on the line, where people type it: behind the command that failed.
        sys.argv.remove("--debug")
    warnings.filterwarnings("ignore")
    # package.module:Name finds modules of the current folder; last, so that it shadows nothing.
    sys.path.append(str(Path.cwd()))
    try:
        app()
    except UserError as error:
        if debug:
            raise
        Console(stderr=True).print(f"[red]error:[/] {_escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(error.code)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if debug:
            raise
        what = _escape(f"{type(error).__name__}: {error}")
        message = f"[red]error:[/] {what}\nThis should not happen; --debug shows where."
        Console(stderr=True).print(message, highlight=False, soft_wrap=True)
        sys.exit(1)


def _silence_libraries() -> None:
    """Keep banners and warnings of libraries off the screen, once they are imported; ours are raised or printed."""
    for name in ("lightning", "lightning.pytorch", "lightning.fabric", "torch.distributed", "transformers"):
        logging.getLogger(name).setLevel(logging.ERROR)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # where it comes later


def _escape(text: str) -> str:
    return text.replace("[", "\\[")


def _located(name: str) -> Path:
    from densekd.models.checkpoints.download import located

    return located(name)


def _recipe_file(recipe: str) -> Path:
    path = Path(recipe)
    if (path / "recipe.yaml").is_file():
        return path / "recipe.yaml"
    return path if path.suffix in (".yaml", ".yml") or path.exists() else _shipped(recipe)


def _shipped(name: str) -> Path:
    """Find a recipe that comes with densekd: in the wheel, or beside ``src/`` in a checkout."""
    from densekd.errors import RecipeError, suggest

    here = Path(__file__).parents[1]
    folder = next((f for f in (here / "recipes", here.parents[1] / "recipes") if f.is_dir()), here)
    known = {str(f.relative_to(folder).with_suffix("")): f for f in folder.rglob("*.yaml")}
    if name not in known:
        raise RecipeError(f"'{name}' is no recipe file, no run folder and no shipped recipe. {suggest(name, known)}")
    return known[name]
