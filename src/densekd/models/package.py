"""The student package: ``config.json`` and ``model.safetensors``, all that is needed to run a model."""

import json
from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file
from torch import nn

from densekd.atomic import atomic, write_text
from densekd.errors import RecipeError, UserError
from densekd.models import find_model
from densekd.models.checkpoints import load_matched
from densekd.models.sources import SOURCES
from densekd.registry import construct


@dataclass(frozen=True)
class PackageConfig:
    """What a package says of its model.

    Args:
        model: a name of ``MODELS``, ``source:name`` of ``SOURCES``, or ``package.module:Name``.
        options: the builder's arguments.
        classes: C names.
        palette: C RGB colors.
        ignore_index: label of void pixels.
        resize: (height, width) or (shorter side,) that images are brought to before the model, detectors: the limits of
            their shorter and longer side; None: their own size.
        categories: of a detector: the number of each class in results files (COCO's category id); none: 1..C.
        task: name of ``TASKS`` or ``package.module:Name``, what the model predicts.
        task_options: those of the task's options that predictions and scores depend on.
    """

    model: str
    options: dict[str, Any]
    classes: list[str]
    palette: list[list[int]]
    ignore_index: int = 255
    resize: tuple[int, int] | tuple[int] | None = None
    categories: tuple[int, ...] = ()
    task: str = "segmentation"
    task_options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("resize", "categories"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, tuple(getattr(self, name)))  # a list, where it comes from a file


class Package(NamedTuple):
    """A loaded package; the model is in evaluation mode."""

    model: nn.Module
    config: PackageConfig


def save_package(model: nn.Module, config: PackageConfig, folder: Path) -> None:
    """Write ``config.json`` and ``model.safetensors`` into ``folder``, each atomically."""
    # Copies, because safetensors refuses tied weights, which share memory.
    plain = {"device": "cpu", "copy": True, "memory_format": torch.contiguous_format}
    state = {key: value.detach().to(**plain) for key, value in model.state_dict().items()}
    with atomic(folder / "model.safetensors") as temporary:
        save_file(state, temporary)
    write_text(folder / "config.json", json.dumps({"format": 1, **asdict(config)}, indent=1) + "\n")


def load_package(path: Path) -> Package:
    """Read a package, or the one in ``student/`` of a run folder.

    Raises:
        UserError: a missing or damaged file, or weights that do not fit the model the config names.
    """
    folder = path / "student" if (path / "student" / "config.json").is_file() else path
    config = read_config(folder)
    model = build_packaged(config, folder / "config.json")
    load_matched(model, folder, "student")
    return Package(model.eval().to(memory_format=torch.channels_last), config)  # type: ignore[call-overload]


def build_packaged(config: PackageConfig, source: Path) -> nn.Module:
    """Build the model that a config names, without weights.

    Raises:
        UserError: an unknown name or option.
    """
    try:
        builder = find_model(config.model)
        require_packable(config.model, builder, str(source))
        model: nn.Module = construct(builder, config.options, {"num_classes": len(config.classes)}, str(source))
    except RecipeError as error:
        raise UserError(str(error)) from error
    return model


def require_packable(name: str, builder: Callable[..., Any], where: str) -> None:
    """Check that a package may name ``builder``: it comes from a file, which must not call any function it likes.

    Raises:
        RecipeError: ``package.module:Name`` that is no ``nn.Module`` class.
    """
    source, _, own = name.partition(":")
    if own and source not in SOURCES and not (isinstance(builder, type) and issubclass(builder, nn.Module)):
        raise RecipeError(f"{where}: '{name}' is not an nn.Module class, so its package could not be loaded again.")


def read_config(folder: Path) -> PackageConfig:
    """Read ``config.json`` of a package.

    Raises:
        UserError: a missing or malformed file.
    """
    path = folder / "config.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        required = {f.name for f in fields(PackageConfig) if f.default is MISSING and f.default_factory is MISSING}
        known = (f.name for f in fields(PackageConfig) if f.name in content or f.name in required)
        config = PackageConfig(**{name: content[name] for name in known})
        for value, kind in ((config.model, str), (config.options, dict), (config.classes, list)):
            if not isinstance(value, kind):
                raise TypeError(f"{value!r} is no {kind.__name__}")
    except FileNotFoundError as error:
        raise UserError(
            f"{folder}: no config.json; a student package has config.json and model.safetensors."
        ) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, TypeError, KeyError) as error:
        raise UserError(f"{path}: not the config of a student package ({type(error).__name__}: {error}).") from error
    return config
