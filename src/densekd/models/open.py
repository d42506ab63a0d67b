"""One door for models: open a run, a package, a checkpoint of any project, a URL or a name.

The Python interface, the command line and the recipe's ``teacher.checkpoint`` and
``student.checkpoint`` come through here, so that each of them opens the same things and says the
same where something is wrong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from densekd.data.classes import Classes
from densekd.errors import RecipeError, UserError
from densekd.models import contract, find_model
from densekd.models.checkpoints.file import Checkpoint, missing_package, split_part
from densekd.models.checkpoints.layout import Recognized
from densekd.models.checkpoints.load import Match, load_in_full, load_matched
from densekd.models.checkpoints.preprocessing import input_options
from densekd.models.checkpoints.recognize import FORMATS, recognize
from densekd.models.checkpoints.unusable import describe_unusable
from densekd.models.checkpoints.widths import require_width
from densekd.models.classes import classes_in, classes_of
from densekd.models.described import classes_in_checkpoint, count_classes, options_for
from densekd.models.locate import PACKAGE_FILES, Place, locate
from densekd.models.named import Named, build_named
from densekd.models.package import PackageConfig, config_beside, config_of, parse_config, read_config, require_packable
from densekd.models.sources import SOURCES, names_weights
from densekd.quantize import apply_plan, parse_plan
from densekd.trust import names_of_file, require_trust

Weights = Literal["all", "body", "none"]


@dataclass(frozen=True)
class Origin:
    """How a file of another project was understood.

    Args:
        format: name of ``FORMATS``, the project whose layout it is.
        match: how its keys fit.
        unused: its entries that inference does not need.
        meta: what it says of itself: epoch, configuration, ...
    """

    format: str
    match: Match
    unused: tuple[str, ...]
    meta: Mapping[str, Any]


@dataclass(frozen=True)
class Opened:
    """A model, ready to run.

    Args:
        model: in evaluation mode; it takes float RGB in [0, 1], ``[B, 3, H, W]``.
        classes: names and colors; ``class 0``, ``class 1``, ... where nothing names them.
        config: what a package of this model says.
        notes: what people should know before they trust it, a sentence each.
        origin: of a recognized file of another project; else None.
    """

    model: nn.Module
    classes: Classes
    config: PackageConfig
    notes: tuple[str, ...] = ()
    origin: Origin | None = None


@dataclass(frozen=True)
class _Asked:
    """What the caller knows better than the source."""

    model: str | None
    options: dict[str, Any]
    num_classes: int | None
    allow: tuple[str, ...]
    weights: Weights


def open_model(
    source: str | Path,
    *,
    model: str | None = None,
    options: Mapping[str, Any] | None = None,
    num_classes: int | None = None,
    allow: Sequence[str] = (),
    weights: Weights = "all",
) -> Opened:
    """Open a model from anywhere.

    Args:
        source: a run folder; a student package; a checkpoint of ours (``.ckpt``, ``.safetensors``)
            or of another project, with ``#teacher`` after it for the teacher in a distillation
            checkpoint, ``#ema`` for the average beside the weights, or any other key or prefix in
            the file; the URL of one, with a checksum; ``owner/name`` of a package on the Hugging
            Face hub; ``hf:``, ``timm:``, ``smp:`` or ``torchvision:`` and a name;
            ``package.module:Name`` of your own.
        model: architecture of a file that does not say it: a name of ``MODELS``, ``source:name`` or
            ``package.module:Name``.
        options: arguments of the architecture that the source does not say, or says wrong. All
            models that normalize inside take ``input``, see
            :func:`densekd.models.named.build_named`.
        num_classes: C, where neither the source nor its weights tell.
        allow: patterns of keys that a file may lack or have besides.
        weights: of an architecture's name. ``all``: it must come with trained weights, which of the
            libraries' names only ``hf:`` does; ``body``: those of a backbone, if there are any, are
            enough; ``none``: all stay random.

    Returns:
        the model in evaluation mode, with its classes.

    Raises:
        UserError: nothing there, unreadable, not recognized, or weights that do not fit in full.
    """
    asked = _Asked(model, dict(options or {}), num_classes, tuple(allow), weights)
    place = locate(source)
    if place.kind == "name":
        return _open_name(place, asked)
    if place.kind == "folder":
        return _open_folder(place, asked)
    return _open_file(Checkpoint.read(place.path), asked)


def read_weights(source: str | Path) -> Checkpoint:
    """Read the weights of anything that :func:`open_model` opens, for a model that is there already.

    Raises:
        UserError: nothing there, unreadable, or the name of an architecture without trained
            weights.
    """
    place = locate(source)
    if place.kind == "name":
        return Checkpoint.of_model(open_model(source).model, place.name)
    return Checkpoint.read(place.path)


def _open_name(place: Place, asked: _Asked) -> Opened:
    """Build an architecture by its name; of ``hf:`` with the weights that belong to the name."""
    name = place.name
    if asked.model is not None:
        raise UserError(f"{name} names an architecture itself; leave model '{asked.model}' away, or name its weights.")
    # A function of the user's may bring weights or not; of the libraries' names some do.
    source, colon, _ = name.partition(":")
    own = bool(colon) and source not in SOURCES
    trained = own or names_weights(name, asked.options)
    if asked.weights == "all" and not trained:
        raise UserError(
            f"{name} names an architecture, and no trained weights come with it. Name a checkpoint "
            "instead, and the architecture beside it (in a recipe: 'model' and 'checkpoint')."
        )
    # The rest is what the caller knows and the builder's signature asks for.
    supplied: dict[str, Any] = {"weights": "none"}
    if trained and not own:
        supplied["weights"] = asked.weights
    if asked.num_classes is not None:
        supplied["num_classes"] = asked.num_classes
    elif supplied["weights"] == "all":
        # The library's files know their classes; this number is not read.
        supplied["num_classes"] = 0
    elif not own:
        raise UserError(f"{name}: say how many classes it tells apart (num_classes).")
    built = build_named(name, asked.options, supplied, name)
    built.model.eval()
    notes = (*built.notes, *contract.notes(built.model))
    if own:
        notes = (*notes, f"{name} makes its weights itself; no checkpoint was read.")
    return _opened(built, name, classes_of(built.model, asked.num_classes), notes)


def _open_folder(place: Place, asked: _Asked) -> Opened:
    """Open a student package, or the one in ``student/`` of a run."""
    if asked.model is not None:
        return _open_file(Checkpoint.read(place.path), asked)
    # A run folder holds its student's package.
    inside = place.path / "student"
    folder = inside if (inside / "config.json").exists() else place.path
    for name in PACKAGE_FILES:
        if (folder / name).is_dir():
            raise UserError(f"{folder / name}: a folder stands in place of the file. Put back a copy of it.")
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder}: {missing_package(folder)}")
    described = read_config(folder)
    checkpoint = Checkpoint.read(folder)
    opened = _open_ours(checkpoint, described, str(folder / "config.json"), asked)
    # Convolutions of libraries are fastest where channels lie together.
    model = opened.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return replace(opened, model=model)


def _open_file(checkpoint: Checkpoint, asked: _Asked) -> Opened:
    """Open a checkpoint: as the caller, the file itself, or its keys say."""
    # The caller knows best, then the file, then its keys.
    if asked.model is not None:
        return _open_as(checkpoint, asked)
    described = checkpoint.package
    if described is None:
        described = config_beside(split_part(Path(checkpoint.name))[0])
    if described is not None:
        return _open_ours(checkpoint, described, checkpoint.name, asked)
    found = recognize(checkpoint.state)
    if found is not None:
        return _open_recognized(checkpoint, found, asked)
    unusable = describe_unusable(checkpoint.state)
    if unusable is not None:
        raise UserError(f"{checkpoint.name}: {unusable}")
    keys = ", ".join(list(checkpoint.state)[:4])
    raise UserError(
        f"{checkpoint.name}: not recognized; no known format has {len(checkpoint.state)} entries "
        f"like {keys}. Known are models of {', '.join(FORMATS)}. Name the model and its options, or "
        "convert the keys."
    )


def _open_ours(checkpoint: Checkpoint, described: Any, where: str, asked: _Asked) -> Opened:
    """Open what densekd wrote: its description names the model."""
    config = parse_config(described, where)
    config = replace(config, options=config.options | asked.options)
    supplied = {"num_classes": len(config.classes)}
    try:
        # A file must not call any function it likes, nor import any module.
        with names_of_file(where):
            require_packable(config.model, find_model(config.model), where)
            built = build_named(config.model, config.options, supplied, where)
    except RecipeError as error:
        # Nothing in a recipe is wrong: the file is.
        raise UserError(str(error)) from error
    if config.quantization is not None:
        # Ranges of activations are among the weights.
        apply_plan(built.model, parse_plan(config.quantization, where))
    found = load_matched(built.model, checkpoint, "student", asked.allow)
    config = replace(config, options=built.options)
    # A package older than tasks does not name its own.
    if "task" not in described:
        config = replace(config, task=contract.task_of(built.model))
    return Opened(built.model.eval(), config.labels, config, found.notes)


def _open_as(checkpoint: Checkpoint, asked: _Asked) -> Opened:
    """Open weights under the architecture that the caller names."""
    assert asked.model is not None
    count = asked.num_classes
    if count is None:
        count = count_classes(checkpoint)
    options, notes = options_for(checkpoint, asked.model, asked.options)
    supplied = {"num_classes": count, "weights": "none"}
    built = build_named(asked.model, options, supplied, asked.model)
    found = load_matched(built.model, checkpoint, asked.model, asked.allow)
    built.model.eval()
    classes = classes_in_checkpoint(checkpoint, count)
    return _opened(built, asked.model, classes, (*built.notes, *notes, *found.notes))


def _open_recognized(checkpoint: Checkpoint, found: Recognized, asked: _Asked) -> Opened:
    """Open a file of another project, whose keys and shapes tell the architecture."""
    require_width(found, asked.options, checkpoint.name)
    count = found.options["num_classes"]
    # What keys do not show: how images were normalized.
    preset, notes = input_options(found, checkpoint, asked.options)
    options = {key: value for key, value in found.options.items() if key != "num_classes"}
    # What the user says comes last.
    options = options | preset | asked.options
    built = build_named(found.model, options, {"num_classes": count}, checkpoint.name)
    recognized = f"{checkpoint.name} was recognized as {found.model} of {found.format}"
    problem = f"{recognized}, but does not fit it"
    matched = load_in_full(built.model, found.state, asked.allow, problem, name=checkpoint.name)
    built.model.eval()
    classes = classes_in(checkpoint.meta, count)
    said = (*checkpoint.notes(), *matched.notes)
    opened = _opened(built, found.model, classes, (*built.notes, *notes, *said))
    return replace(opened, origin=Origin(found.format, matched, found.unused, checkpoint.meta))


def _opened(built: Named, name: str, classes: Classes, notes: tuple[str, ...]) -> Opened:
    config = config_of(name, built.options, classes, contract.task_of(built.model))
    # A model of the user's may name a task of theirs.
    require_trust(config.task)
    return Opened(built.model, classes, config, notes)
