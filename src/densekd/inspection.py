"""Looking at models, data and what densekd offers: the answers behind the short commands."""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from rich.table import Table
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from densekd.build import build_files, build_inference, probe
from densekd.data import DATASETS
from densekd.data.files import Classes, SegmentationFiles, pair_by_stem
from densekd.data.folder import folder
from densekd.errors import RecipeError, UserError
from densekd.evaluation import Predictor, evaluate, scoring_of
from densekd.lookup import construct
from densekd.losses import LEFT_OUT, LOSSES
from densekd.models import MODELS, find_model
from densekd.models.backbones import BACKBONES
from densekd.models.checkpoints import load_matched
from densekd.models.package import Package, PackageConfig, build_packaged, load_package
from densekd.models.sources import SOURCES
from densekd.recipe import EvaluationSpec, change_evaluation, load_recipe


def open_model(path: Path) -> Package:
    """Open a run folder, a student package, or a training checkpoint of ours.

    Raises:
        UserError: none of these, or damaged.
    """
    if path.is_dir() or not path.exists():
        return load_package(path)
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
        config = PackageConfig(**content["densekd"]["package"])
    except Exception as error:
        raise UserError(
            f"{path}: not a checkpoint of a densekd run ({type(error).__name__}), so it does not say which model it "
            "holds. Give a run folder or a student folder."
        ) from error
    model = build_packaged(config, path)
    load_matched(model, path, "student")
    return Package(model.eval(), config)


def classes_of(config: PackageConfig) -> Classes:
    """Return the classes that a package was trained on."""
    palette = tuple((r, g, b) for r, g, b in config.palette)
    return Classes(tuple(config.classes), palette, config.ignore_index)


def open_predictor(path: Path, changes: Sequence[str]) -> Predictor:
    """Open a model to label pictures with, in the mode its recipe names, changed by ``key=value``.

    Raises:
        UserError: as :func:`open_model`; an unknown key or a wrong value.
    """
    model, config = open_model(path)
    inference = build_inference(evaluation_of(path, changes))
    return Predictor(model, classes_of(config), config.resize, inference)


def evaluate_path(model: Path, data: Path | None, split: str | None, changes: Sequence[str] = ()) -> dict[str, Any]:
    """Score a model file on a data folder, a recipe's data, or the data of the model's own run.

    Args:
        model: see :func:`open_model`.
        data: a folder in the ``folder`` layout (without ``classes.json`` the model's classes are taken), a recipe, or
            None for the recipe of the run the model lies in.
        split: None for the recipe's validation split, ``val`` for a folder.
        changes: ``key=value`` of the recipe's evaluation part.

    Raises:
        UserError: nothing to evaluate on, or other classes than the model's.
    """
    package = open_model(model)
    files, split = _files(model, package, data, split)
    if files.classes.names != tuple(package.config.classes):
        raise UserError(
            f"the model's {len(package.config.classes)} classes ({', '.join(package.config.classes)}) are not the "
            f"data's {len(files.classes.names)} ({', '.join(files.classes.names)})."
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    scoring = scoring_of(evaluation_of(model, changes))
    scores = evaluate(package.model.to(device), files, package.config.resize, scoring)
    return {"model": str(model), "split": split, **scores}


def evaluation_of(model: Path, changes: Sequence[str]) -> EvaluationSpec:
    """Return the evaluation part of the recipe of the model's run, if it lies in one, with changes.

    Raises:
        RecipeError: an unknown key or a wrong value.
    """
    recipe = _recipe_of(model)
    return change_evaluation(EvaluationSpec() if recipe is None else load_recipe(recipe).evaluation, changes)


def describe_model(name: str, options: Sequence[str], size: str) -> Table:
    """Return parameters, FLOPs and tap shapes of a model name (19 classes) or a saved model.

    Raises:
        RecipeError: an unknown name or option, or a malformed size.
    """
    height, times, width = size.partition("x")
    if not (times and height.isdigit() and width.isdigit()):
        raise RecipeError(f"--size {size}: write height x width, for instance 512x1024.")
    if name in MODELS or ":" in name:
        pairs = dict(option.partition("=")[::2] for option in options)
        given = {key: yaml.safe_load(value) for key, value in pairs.items()}
        model: nn.Module = construct(find_model(name), given, {"num_classes": 19}, name)
    else:
        model = open_model(Path(name)).model
    images = torch.rand(1, 3, int(height), int(width))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        output = model.eval()(images)
    # A model without head has no logits to show.
    taps = probe(model, [*["logits"] * isinstance(output, torch.Tensor), *getattr(model, "taps", {})], images)
    table = Table("", "shape or value", title=f"{name} at {height} x {width}", title_justify="left")
    table.add_row("parameters", f"{sum(p.numel() for p in model.parameters()):,}")
    # The counter counts a multiplication and an addition as two.
    table.add_row("multiply-adds", f"{counter.get_total_flops() / 2e9:.3f} G")
    table.add_section()
    for path, tensor in taps.items():
        table.add_row(path, str(list(tensor.shape)))
    return table


def describe_losses() -> Table:
    """Return the losses with their options, and what was left out."""
    table = _catalogue("method", LOSSES)
    table.add_section()
    for name, reason in LEFT_OUT.items():
        table.add_row(name, f"left out: {reason}", "")
    return table


def describe_models() -> Table:
    """Return the architectures with their options, and the backbones."""
    table = _catalogue("model", MODELS)
    table.add_section()
    table.add_row("backbones", ", ".join(BACKBONES), "")
    table.add_row("elsewhere", ", ".join(f"{source}:NAME" for source in SOURCES), "see docs/models.md")
    return table


def describe_datasets() -> Table:
    """Return the datasets."""
    return _catalogue("dataset", DATASETS)


def _catalogue(kind: str, things: Mapping[str, Any]) -> Table:
    table = Table(kind, "what", "options")
    for name, thing in things.items():
        what = (inspect.getdoc(thing) or "").partition("\n")[0]
        parameters = inspect.signature(thing).parameters.values()
        options = [f"{p.name}={p.default!r}" for p in parameters if p.default is not p.empty]
        table.add_row(name, what, ", ".join(options))
    return table


def _recipe_of(model: Path) -> Path | None:
    """Return the recipe of the run folder that a model lies in."""
    candidates = (folder / "recipe.yaml" for folder in (model, model.parent, model.parent.parent))
    return next((path for path in candidates if path.is_file()), None)


def _files(model: Path, package: Package, data: Path | None, split: str | None) -> tuple[SegmentationFiles, str]:
    if data is None:
        data = _recipe_of(model)
        if data is None:
            raise UserError(f"{model} lies in no run folder; say what to evaluate on: --data FOLDER-OR-RECIPE.")
    if data.is_dir() and not (data / "recipe.yaml").is_file():
        split = split or "val"
        if (data / "classes.json").is_file():
            return folder(data, split), split
        pairs = pair_by_stem(data / "images" / split, data / "labels" / split)
        return SegmentationFiles(classes_of(package.config), pairs), split
    spec = load_recipe(data / "recipe.yaml" if data.is_dir() else data).data
    return build_files(spec, split or spec.val), split or spec.val
