"""What an object of the user's, ``package.module:Name``, must declare before it is called.

Each kind of name in a recipe has one door. A class must be of the door's kind; a function must declare
that it returns such a class. Anything else, such as a function of the standard library, is refused
before it is called.
"""

import inspect
import sys
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from densekd.signature import factory_of


@dataclass(frozen=True)
class Door:
    """What objects of one kind have to be.

    Args:
        wanted: in words, for messages.
        fits: tells a class of that kind.
    """

    wanted: str
    fits: Callable[[type], bool]


def _is_module(made: type) -> bool:
    from torch import nn

    return issubclass(made, nn.Module)


def _is_files(made: type) -> bool:
    # Protocols with attributes know no subclasses; these two methods no other class has.
    return callable(getattr(made, "image", None)) and callable(getattr(made, "join", None))


def _is_task(made: type) -> bool:
    return hasattr(made, "files_type") and hasattr(made, "evaluation_options")


def _is_logger(made: type) -> bool:
    from lightning.pytorch.loggers import Logger

    return issubclass(made, Logger)


def _is_callback(made: type) -> bool:
    from lightning import Callback

    return issubclass(made, Callback)


MODULE = Door("an nn.Module class, or a function that declares to return one: def name(...) -> nn.Module", _is_module)
DATASET = Door(
    "a function that declares the files it returns: def name(root: Path, split: str) -> SegmentationFiles", _is_files
)
TASK = Door("a task, see densekd.tasks.protocol for what it has", _is_task)
LOGGER = Door("a Lightning Logger, or a function that declares to return one: def name(...) -> Logger", _is_logger)
CALLBACK = Door(
    "a Lightning Callback, or a function that declares to return one: def name(...) -> Callback", _is_callback
)


def is_standard_library(module: str) -> bool:
    """Tell a module of the standard library, which holds nothing that a recipe needs."""
    return module.partition(".")[0] in sys.stdlib_module_names


def declares(found: Any, door: Door) -> bool:
    """Tell whether a class is of a door's kind, or a function declares that what it returns is.

    Args:
        found: any object.
        door: of the kind that is looked for.
    """
    if isinstance(found, type):
        return _fits(found, door)
    if not inspect.isfunction(factory_of(found)):
        return False
    return _fits(_returned(factory_of(found)), door)


def _fits(made: Any, door: Door) -> bool:
    if not isinstance(made, type) or is_standard_library(made.__module__):
        return False
    return door.fits(made)


def _returned(function: Any) -> Any:
    """Return what a function's signature says that it returns; None where it says nothing that is known."""
    annotation = inspect.signature(function).return_annotation
    if not isinstance(annotation, str):
        return annotation
    # Written as text, by 'from __future__ import annotations' or as a forward reference.
    try:
        return typing.get_type_hints(function).get("return")
    except (NameError, TypeError, AttributeError):
        return None
