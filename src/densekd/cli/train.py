"""Commands that train: ``train``, ``quickstart``, ``check``, ``cache``."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from densekd.cli.arguments import JsonPath, Overrides, Overwrite, RecipePath, RunPath, Trust, read_recipe
from densekd.cli.console import console, print_next, print_plain, table_rows, write_json
from densekd.cli.own_files import CHECKED, COMPARED, RESULTS, Force, require_own_json
from densekd.metric_names import MetricNames
from densekd.quiet import silence_libraries
from densekd.trust import is_trusted, trust_modules

if TYPE_CHECKING:
    from densekd.run.folder import Existing

Resume = Annotated[bool, typer.Option("--resume", help="continue the run exactly where it stopped")]
AcceptChanges = Annotated[
    bool, typer.Option("--accept-changes", help="resume also where data, teacher or processes are others by now")
]
Accelerator = Annotated[str, typer.Option(help="auto, cpu, gpu, ...")]
Devices = Annotated[str, typer.Option(help="number or list of devices")]
Nodes = Annotated[int, typer.Option(help="number of machines")]
Strategy = Annotated[str, typer.Option(help="Lightning strategy: auto, ddp, fsdp, ...")]


def train(
    recipe: RecipePath,
    overrides: Overrides = None,
    run: RunPath = None,
    resume: Resume = False,
    accept_changes: AcceptChanges = False,
    overwrite: Overwrite = False,
    accelerator: Accelerator = "auto",
    devices: Devices = "auto",
    nodes: Nodes = 1,
    strategy: Strategy = "auto",
    trust: Trust = None,
    json: JsonPath = None,
    force: Annotated[bool, typer.Option("--force", help="replace the file of --json, whoever made it")] = False,
) -> None:
    """Train a student, with or without a teacher. Then evaluate, export and report."""
    existing = _existing(resume, overwrite)
    require_own_json(json, RESULTS, force)
    if accept_changes and not resume:
        raise typer.BadParameter("--accept-changes belongs to --resume.")
    trust_modules(trust)
    # A run that a killed process was about to replace has no name for a moment.
    from densekd.run.replace import mend_missing

    mend_missing(recipe, print_plain)
    loaded = read_recipe(recipe, overrides)
    # The recipe is checked before Lightning is imported, which takes seconds.
    from densekd.report.tables import comparison_table
    from densekd.run.folder import RunFolder, default_run
    from densekd.run.launch import Launch
    from densekd.run.train import train as run_training

    silence_libraries()
    # A run folder as recipe is trained in that folder.
    folder = default_run(loaded, recipe) if run is None else RunFolder(run)
    launch = Launch(accelerator, devices, nodes, strategy)
    results = run_training(loaded, folder, launch, existing, console, overrides or (), accept_changes)
    # Of several processes only the first has results.
    if results:
        console.print(comparison_table(results))
        write_json(json, results)
        print_next(*_next(Path(recipe), folder.path, results), trust=_own_modules(folder.student))


def quickstart(
    run: Annotated[Path, typer.Option("--run", help="run folder")] = Path("runs/quickstart"),
    overwrite: Overwrite = False,
    json: JsonPath = None,
    force: Force = False,
) -> None:
    """Train teacher and students on scenes that it draws. No download; student alone, and with CWD."""
    from densekd.recipe.shipped import shipped_recipe
    from densekd.run.quickstart import quickstart as run_quickstart

    require_own_json(json, COMPARED, force)
    silence_libraries()
    write_json(json, run_quickstart(run, shipped_recipe("quickstart").parent, overwrite, console))
    print_next("densekd", "export", run, "--to", "onnx")


def check(
    recipe: RecipePath,
    overrides: Overrides = None,
    devices: Devices = "auto",
    trust: Trust = None,
    json: JsonPath = None,
    force: Force = False,
) -> None:
    """Try a recipe: data, models, a few steps. Memory and time are estimated."""
    require_own_json(json, CHECKED, force)
    trust_modules(trust)
    loaded = read_recipe(recipe, overrides)
    from densekd.run.preflight import check as run_check

    silence_libraries()
    table = run_check(loaded, devices)
    console.print(table)
    write_json(json, {"recipe": recipe, "checked": table_rows(table)})
    print_next(*_training(recipe, overrides))


def cache(recipe: RecipePath, overrides: Overrides = None, trust: Trust = None) -> None:
    """Write a recipe's teacher cache. Trainings that share it never run the teacher."""
    trust_modules(trust)
    loaded = read_recipe(recipe, overrides)
    from densekd.builders.build import build
    from densekd.errors import RecipeError
    from densekd.kernels import using
    from densekd.run.automatic import decided
    from densekd.run.fill_cache import fill_cache
    from densekd.run.launch import Launch

    silence_libraries()
    # As the trainings on this machine decide: a cache belongs to the teacher's precision.
    loaded = decided(loaded, Launch())
    found = build(loaded).cache
    if found is None:
        raise RecipeError("teacher.cache is missing; add for instance teacher.cache.folder=... teacher.cache.views=4.")
    with using(loaded.kernels):
        fill_cache(found, console)
    print_next(*_training(recipe, overrides))


def _training(recipe: str, overrides: list[str] | None) -> tuple[object, ...]:
    """Return the command that trains a recipe; a run has been trained, and is evaluated."""
    if Path(recipe).is_dir():
        return "densekd", "evaluate", recipe
    return "densekd", "train", recipe, *(overrides or ())


def _next(recipe: Path, run: Path, results: Mapping[str, Any]) -> tuple[object, ...]:
    """Return the command after a training: doctor without a gain, the student of a teacher, or the export."""
    headline = MetricNames.from_json(results["metrics"]).headline
    student, alone = results["student"][headline.key], (results.get("baseline") or {}).get(headline.key)
    if student is not None and alone is not None and headline.gain(student, alone) <= 0:
        return "densekd", "doctor", run
    # As 'densekd init' writes them.
    student = recipe.with_name("student.yaml")
    if recipe.name == "teacher.yaml" and student.is_file():
        return "densekd", "train", student
    return "densekd", "export", run, "--to", "onnx"


def _own_modules(student: Path) -> list[str]:
    """Return the modules that a student's package names and a person trusted here: --trust of what follows."""
    from densekd.models.sources import SOURCES
    from densekd.parsers import load_json

    content = load_json(student / "config.json")
    found = []
    for name in (str(content.get("model")), str(content.get("task"))):
        module, colon, _ = name.partition(":")
        if colon and module not in SOURCES and module not in found and is_trusted(name):
            found.append(module)
    return found


def _existing(resume: bool, overwrite: bool) -> "Existing":
    """Turn two flags into what happens to a run folder in use."""
    if resume and overwrite:
        raise typer.BadParameter("--resume continues a run and --overwrite deletes it; choose one.")
    if resume:
        return "resume"
    return "overwrite" if overwrite else "refuse"
