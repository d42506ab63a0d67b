"""What lies in a model and what densekd offers: the tables of the short commands."""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from rich.table import Table
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from densekd.data import DATASETS
from densekd.distill.probe import probe
from densekd.errors import RecipeError
from densekd.losses import LEFT_OUT, LOSSES
from densekd.models import MODELS, find_model
from densekd.models.backbones import BACKBONES
from densekd.models.checkpoints.containers import read_content
from densekd.models.checkpoints.load import split_part
from densekd.models.mit import MITS
from densekd.models.open import classes_in, open_model
from densekd.models.published import load_published
from densekd.models.segmentor import Segmentor
from densekd.models.sources import SOURCES
from densekd.models.swin import SWINS
from densekd.models.zoo import ZOO, Entry
from densekd.registry import construct


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
    names, _ = classes_in(content, published.found.options["num_classes"])
    table.add_row("classes", ", ".join(names))
    table.add_row("keys", published.match.describe().strip())
    if published.found.unused:
        table.add_row("not needed", ", ".join(published.found.unused[:8]))
    meta = content.get("meta") if isinstance(content, dict) else None
    for key, value in (meta if isinstance(meta, dict) else {}).items():
        table.add_row(f"meta {key}", str(value).strip().partition("\n")[0][:100])
    return table


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
