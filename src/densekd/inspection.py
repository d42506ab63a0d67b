"""Looking at models, data and what densekd offers: the answers behind the short commands."""

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from rich.table import Table
from safetensors.torch import save_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from densekd.build import Files, build_files, build_inference, probe
from densekd.data import DATASETS
from densekd.data.files import Classes, SegmentationFiles, pair_by_stem
from densekd.data.folder import distinct_colours, folder, published_classes
from densekd.errors import RecipeError, UserError
from densekd.evaluation import BoxPredictor, Predictor, evaluate, scoring_of
from densekd.files import atomic
from densekd.lookup import construct
from densekd.losses import LEFT_OUT, LOSSES
from densekd.models import MODELS, find_model
from densekd.models.backbones import BACKBONES
from densekd.models.checkpoints import load_matched
from densekd.models.checkpoints.containers import read_content
from densekd.models.checkpoints.load import split_part
from densekd.models.mit import MITS
from densekd.models.package import Package, PackageConfig, build_packaged, load_package, save_package
from densekd.models.published import load_published
from densekd.models.segmentor import Segmentor
from densekd.models.sources import SOURCES
from densekd.models.swin import SWINS
from densekd.models.zoo import ZOO, Entry
from densekd.recipe import EvaluationSpec, change_evaluation, load_recipe

UNNAMED = "class {}"


def open_model(path: Path) -> Package:
    """Open a run folder, a student package, a training checkpoint of ours, or a published file of another project.

    Classes that a published file does not name are called ``class 0``, ``class 1``, ...

    Raises:
        UserError: none of these, or damaged.
    """
    file, _ = split_part(path)
    if file.is_dir() or not file.exists():
        return load_package(path)
    content = read_content(file)
    ours = content.get("densekd") if isinstance(content, dict) else None
    if isinstance(ours, dict):
        config = PackageConfig(**ours["package"])
        model = build_packaged(config, path)
        load_matched(model, path, "student")
        return Package(model.eval(), config)
    published = load_published(path)
    names, palette = _classes_in(content, published.found.options["num_classes"])
    options = {key: value for key, value in published.found.options.items() if key != "num_classes"}
    return Package(published.model, PackageConfig(published.found.model, options, names, palette))


def convert(path: Path, out: Path, classes: str | None, existing: Literal["refuse", "replace"]) -> Package:
    """Write a model under our names: plain weights in a file, or a folder that is a student package.

    Args:
        path: see :func:`open_model`.
        out: ``.safetensors``, ``.pth`` (for ``torch.load(weights_only=True)``), or a folder.
        classes: name of a benchmark whose classes these are, see :func:`densekd.data.folder.published_classes`.
        existing: what to do with an ``out`` that is there.

    Raises:
        UserError: unreadable, something is there, or a benchmark of another number of classes.
    """
    if out.exists() and existing == "refuse":
        raise UserError(f"{out}: exists already; --force replaces it.")
    model, config = open_model(path)
    if classes is not None:
        known = published_classes(classes)
        if len(known.names) != len(config.classes):
            raise UserError(f"{path} has {len(config.classes)} classes, {classes} {len(known.names)}.")
        config = replace(config, classes=list(known.names), palette=[list(colour) for colour in known.palette])
    if out.suffix == ".safetensors":
        described = {key: json.dumps(value) for key, value in asdict(config).items()}
        state = {key: value.contiguous().clone() for key, value in model.state_dict().items()}
        with atomic(out) as temporary:
            save_file(state, temporary, {"format": "pt"} | described)
    elif out.suffix in (".pth", ".pt"):
        with atomic(out) as temporary:
            torch.save(model.state_dict(), temporary)
    else:
        save_package(model, config, out)
    return Package(model, config)


def describe_file(path: Path) -> Table | None:
    """Say what a published file holds and how it fits; None for a folder or a checkpoint of ours."""
    file, _ = split_part(path)
    content = read_content(file) if file.is_file() else None
    if content is None or (isinstance(content, dict) and "densekd" in content):
        return None
    published = load_published(path)
    table = Table("", "found", title=str(path), title_justify="left")
    table.add_row("format", published.found.format)
    table.add_row("model", published.found.model)
    for name, value in published.found.options.items():
        table.add_row(f"  {name}", str(value))
    names, _ = _classes_in(content, published.found.options["num_classes"])
    table.add_row("classes", ", ".join(names))
    table.add_row("keys", published.match.describe().strip())
    if published.found.unused:
        table.add_row("not needed", ", ".join(published.found.unused[:8]))
    meta = content.get("meta") if isinstance(content, dict) else None
    for key, value in (meta if isinstance(meta, dict) else {}).items():
        table.add_row(f"meta {key}", str(value).strip().partition("\n")[0][:100])
    return table


def _classes_in(content: Any, count: int) -> tuple[list[str], list[list[int]]]:
    """Return names and colours that a container carries (mmcv's and mmengine's do), or numbers and made-up colours."""
    meta = content.get("meta") if isinstance(content, dict) else None
    meta = meta if isinstance(meta, dict) else {}
    known = meta.get("dataset_meta") or {"classes": meta.get("CLASSES"), "palette": meta.get("PALETTE")}
    names, palette = known.get("classes"), known.get("palette")
    if not names or len(names) != count:
        names = [UNNAMED.format(k) for k in range(count)]
    if not palette or len(palette) != count:
        palette = distinct_colours(count)
    return [str(name) for name in names], [[int(c) for c in colour] for colour in palette]


def classes_of(config: PackageConfig) -> Classes:
    """Return the classes that a package was trained on."""
    palette = tuple((r, g, b) for r, g, b in config.palette)
    return Classes(tuple(config.classes), palette, config.ignore_index)


def open_predictor(path: Path, changes: Sequence[str]) -> Predictor | BoxPredictor:
    """Open a model to label pictures with, in the mode its recipe names, changed by ``key=value``, or a detector.

    Raises:
        UserError: as :func:`open_model`; an unknown key or a wrong value.
    """
    model, config = open_model(path)
    inference = build_inference(evaluation_of(path, changes))
    if hasattr(model, "detect"):
        categories = tuple(config.categories or range(1, len(config.classes) + 1))
        return BoxPredictor(model, classes_of(config), categories, config.resize)
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
    unnamed = package.config.classes == [UNNAMED.format(k) for k in range(len(files.classes.names))]
    if files.classes.names != tuple(package.config.classes) and not unnamed:
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
    height, width = _size(size)
    if name in MODELS or ":" in name:
        pairs = dict(option.partition("=")[::2] for option in options)
        given = {key: yaml.safe_load(value) for key, value in pairs.items()}
        model: nn.Module = construct(find_model(name), given, {"num_classes": 19}, name)
    else:
        model = open_model(Path(name)).model
    images = torch.rand(1, 3, height, width)
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


def describe_models(size: str) -> tuple[Table, list[dict[str, Any]]]:
    """Return the architectures with their options and the backbones, and typical configurations measured at a size.

    Nothing is computed: parameters and multiply-adds are counted on the device ``meta``.

    Raises:
        RecipeError: a malformed size.
    """
    height, width = _size(size)
    table = _catalogue("model", MODELS)
    table.add_section()
    names = ", ".join((*BACKBONES, *MITS, *SWINS))
    table.add_row("backbones", names, "")
    table.add_row("elsewhere", ", ".join(f"{source}:NAME" for source in SOURCES), "see docs/models.md")
    rows = [_measure(entry, height, width) for entry in ZOO]
    return table, rows


def measured_table(rows: Sequence[Mapping[str, Any]], size: str) -> Table:
    """Show what :func:`describe_models` measured."""
    table = Table("model", "parameters, M", f"multiply-adds at {size}, G", "published mIoU, %")
    for column in table.columns[1:3]:
        column.justify = "right"
    for row in rows:
        options = ", ".join(f"{key}={value}" for key, value in row["options"].items())
        counts = f"{row['parameters'] / 1e6:.2f}", f"{row['multiply_adds'] / 1e9:.1f}"
        table.add_row(f"{row['model']} {options}", *counts, row["published"])
    return table


def _measure(entry: Entry, height: int, width: int) -> dict[str, Any]:
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model = MODELS[entry.model](entry.classes, **entry.options).eval()
        parameters = sum(p.numel() for p in model.parameters())
        if isinstance(model, Segmentor):
            model.auxiliary = None  # nobody runs it outside a training
        model(torch.zeros(1, 3, height, width))
    return {**entry._asdict(), "parameters": parameters, "multiply_adds": counter.get_total_flops() // 2}


def _size(size: str) -> tuple[int, int]:
    height, times, width = size.partition("x")
    if not (times and height.isdigit() and width.isdigit()):
        raise RecipeError(f"--size {size}: write height x width, for instance 512x1024.")
    return int(height), int(width)


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


def _files(model: Path, package: Package, data: Path | None, split: str | None) -> tuple[Files, str]:
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
