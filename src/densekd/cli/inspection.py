"""Tables of the short commands: a model file's content, and all losses, models and datasets."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from rich.table import Table
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from densekd.data import DATASETS
from densekd.data.class_maps import CLASS_MAPS
from densekd.distill.probe import probe
from densekd.distill.taps import describe_value
from densekd.errors import RecipeError
from densekd.losses import LEFT_OUT, LOSSES
from densekd.models import MODELS, contract
from densekd.models.backbones import BACKBONES
from densekd.models.locate import is_architecture
from densekd.models.mit import MITS
from densekd.models.open import Opened, open_model
from densekd.models.sources import SOURCES
from densekd.models.swin import SWINS
from densekd.models.zoo import ZOO, Entry
from densekd.parsers import parse_yaml

# Classes of an architecture that is inspected by its name.
_CLASSES = 19
_META_WIDTH = 100


def describe(source: str, options: Sequence[str], size: str, modules: bool = False) -> list[Table]:
    """Describe a model from anywhere: what its file holds, then parameters, FLOPs and tap shapes.

    Args:
        source: see :func:`densekd.models.open.open_model`; an architecture's name is built for 19
            classes, without weights.
        options: ``key=value`` of the architecture, where the source does not say it.
        size: height x width of the input.
        modules: list also the path of every module and what it returns, for taps.

    Raises:
        UserError: nothing that can be opened, an unknown option, or a malformed size.
    """
    height, width = _size(size)
    given = read_options(options)
    # A name is shown as an architecture, which needs neither weights nor the network.
    if source in MODELS or is_architecture(source):
        opened = open_model(source, options=given, num_classes=_CLASSES, weights="none")
    else:
        opened = open_model(source, options=given)
    table = _describe_model(opened.model, f"{source} at {height} x {width}", (height, width))
    for note in opened.notes:
        table.add_row("note", note)
    tables = [table]
    # Of a file of another project it is worth knowing how it was understood.
    if opened.origin is not None:
        tables.insert(0, _describe_origin(source, opened))
    if modules:
        tables.append(_describe_modules(opened.model, (height, width)))
    return tables


def read_options(options: Sequence[str]) -> dict[str, Any]:
    """Read ``key=value`` pairs; values are YAML.

    Raises:
        RecipeError: an option without ``=`` or with a malformed value.
    """
    given = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not (key and equals):
            raise RecipeError(f"'{option}' is no option; write key=value, for instance backbone=resnet50.")
        try:
            given[key] = parse_yaml(value)
        except ValueError as error:
            raise RecipeError(f"'{option}': the value is not YAML: {error}") from error
    return given


def _describe_origin(source: str, opened: Opened) -> Table:
    """Show how a file of another project was understood."""
    origin = opened.origin
    assert origin is not None
    table = Table("", "found", title=source, title_justify="left")
    table.add_row("format", origin.format)
    table.add_row("model", opened.config.model)
    for name, value in opened.config.options.items():
        table.add_row(f"  {name}", str(value))
    table.add_row("classes", ", ".join(opened.classes.names))
    table.add_row("keys", origin.match.describe().strip())
    if origin.unused:
        table.add_row("not needed", ", ".join(origin.unused[:8]))
    for key, value in origin.meta.items():
        first_line = str(value).strip().partition("\n")[0]
        table.add_row(f"meta {key!s}", first_line[:_META_WIDTH])
    return table


def _describe_model(model: nn.Module, title: str, size: tuple[int, int]) -> Table:
    """Show parameters, multiply-adds and the shape of every tap."""
    with _explained_size(title):
        images = torch.rand(1, contract.bands(model), *size)
    with _explained_size(title), torch.no_grad(), FlopCounterMode(display=False) as counter:
        output = model.eval()(images)
    paths = list(contract.taps(model))
    # A model without head has no logits to show, and a detector's raw output is no tensor.
    if isinstance(output, torch.Tensor):
        paths.insert(0, "logits")
    table = Table("", "shape or value", title=title, title_justify="left")
    table.add_row("parameters", f"{sum(p.numel() for p in model.parameters()):,}")
    # The counter counts a multiplication and an addition as two.
    table.add_row("multiply-adds", f"{counter.get_total_flops() / 2e9:.3f} G")
    table.add_section()
    for path, tensor in probe(model, paths, images).items():
        table.add_row(path, str(list(tensor.shape)))
    return table


def _describe_modules(model: nn.Module, size: tuple[int, int]) -> Table:
    """Show the path of every module that runs, in the order of running, and what it returns."""
    returned: dict[str, list[str]] = {}
    handles = []
    for path, module in model.named_modules():

        def note(module: nn.Module, inputs: Any, output: Any, path: str = path) -> None:
            shown = str(list(output.shape)) if isinstance(output, torch.Tensor) else describe_value(output)
            returned.setdefault(path, []).append(shown)

        if path:
            handles.append(module.register_forward_hook(note))
    with torch.no_grad():
        model.eval()(torch.rand(1, contract.bands(model), *size))
    for handle in handles:
        handle.remove()
    table = Table("module", "returns", title="every path that a tap may name", title_justify="left")
    for path, calls in returned.items():
        # A head runs once on each level: every call has a path.
        for number, shown in enumerate(calls):
            table.add_row(path if len(calls) == 1 else f"{path}@{number}", shown)
    return table


def describe_losses() -> Table:
    """Return the losses with their options, and what was left out."""
    table = _catalogue("method", LOSSES)
    table.add_section()
    for name, reason in LEFT_OUT.items():
        table.add_row(name, f"left out: {reason}", "")
    return table


def describe_models(size: str) -> tuple[Table, list[dict[str, Any]]]:
    """Return the architectures, and typical configurations measured at a size.

    Nothing is computed: parameters and multiply-adds are counted on the device ``meta``.

    Raises:
        RecipeError: a malformed size.
    """
    height, width = _size(size)
    table = _catalogue("model", MODELS)
    table.add_section()
    names = ", ".join((*BACKBONES, *MITS, *SWINS))
    table.add_row("backbones", names, "")
    elsewhere = ", ".join(f"{source}:NAME" for source in SOURCES)
    table.add_row("elsewhere", elsewhere, "see docs/models.md")
    rows = [_measure(entry, height, width) for entry in ZOO]
    return table, rows


def measured_table(rows: Sequence[Mapping[str, Any]], size: str) -> Table:
    """Show what :func:`describe_models` measured."""
    table = Table("model", "parameters, M", f"multiply-adds at {size}, G", "published mIoU, %")
    for column in table.columns[1:3]:
        column.justify = "right"
    for row in rows:
        options = ", ".join(f"{key}={value}" for key, value in row["options"].items())
        parameters = f"{row['parameters'] / 1e6:.2f}"
        multiply_adds = f"{row['multiply_adds'] / 1e9:.1f}"
        name = f"{row['model']} {options}"
        table.add_row(name, parameters, multiply_adds, row["published"])
    return table


def describe_datasets() -> Table:
    """Return the datasets with their options."""
    return _catalogue("dataset", DATASETS)


def describe_class_maps() -> Table:
    """Return the class maps that ``teacher.classes`` may name."""
    table = Table("class map", "logits", "classes", "of models that count", title="teacher.classes")
    for name, entry in CLASS_MAPS.items():
        table.add_row(name, str(entry.count), f"{entry.classes} of {entry.dataset}", entry.description)
    return table


def _measure(entry: Entry, height: int, width: int) -> dict[str, Any]:
    title = f"{entry.model} at {height} x {width}"
    # The counter looks at every operation, those that draw the first weights too: it begins behind them.
    with torch.device("meta"):
        model = MODELS[entry.model](entry.classes, **entry.options).eval()
        parameters = sum(p.numel() for p in model.parameters())
        # Nobody runs the auxiliary head outside a training.
        contract.drop_auxiliary(model)
        images = torch.zeros(1, 3, height, width)
    with _explained_size(title), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(images)
    return {
        **entry._asdict(),
        "parameters": parameters,
        "multiply_adds": counter.get_total_flops() // 2,
    }


@contextmanager
def _explained_size(title: str) -> Iterator[None]:
    """Say that a model does not run at a size, in place of what a layer of torch says.

    Raises:
        RecipeError: in place of torch's RuntimeError.
    """
    try:
        yield
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise RecipeError(f"--size: {title} cannot be computed; take another size ({reason}).") from error


def _size(size: str) -> tuple[int, int]:
    height, times, width = size.partition("x")
    digits = height.isdecimal() and width.isdecimal()
    if not (times and digits and int(height) and int(width)):
        raise RecipeError(f"--size {size}: write height x width in pixels, each at least 1, for instance 512x1024.")
    return int(height), int(width)


def _first_line(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def _catalogue(kind: str, things: Mapping[str, Any]) -> Table:
    """List names with their first line and the options that have a default."""
    table = Table(kind, "what", "options")
    for name, thing in things.items():
        options = []
        for parameter in inspect.signature(thing).parameters.values():
            if parameter.default is not parameter.empty:
                options.append(f"{parameter.name}={parameter.default!r}")
        table.add_row(name, _first_line(thing), ", ".join(options))
    return table
