"""Taps: intermediate features of a model by path, read with forward hooks."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from densekd.errors import RecipeError, suggest
from densekd.models import contract

Compile = Literal["none", "inductor", "reduce-overhead"]

_PATH = re.compile(r"^(?P<port>in:)?(?P<module>[\w.\-]*)(@(?P<call>\d+))?(\[(?P<item>\w+)\])?$")


class _Place(NamedTuple):
    """One side of a module: what it returns, or what it is given."""

    module: str
    side: Literal["output", "input"]


class _Spec(NamedTuple):
    """A parsed path."""

    place: _Place
    call: int | None
    item: str | None


class _Record(NamedTuple):
    """What passed a place in one call, and the version each of its tensors had then."""

    value: Any
    # Torch counts the changes of a tensor in place.
    versions: dict[int, int]


class _DeepestTapReached(BaseException):
    """All taps are read; the rest of the forward pass is not needed."""


class Taps:
    """Feature extractor of a model: ``Taps(model, paths)(images) -> (output, {path: tensor})``.

    A path is ``module[@call][[item]]``: a dotted module name, the number of the call when the
    module runs several times in one forward (a head shared by pyramid levels), and an index or key
    when it returns a tuple, list or dict. ``in:module[@call][[item]]`` reads what the module is
    given instead. A model may define short names in ``model.taps`` (``{"logits": "head.classifier",
    ...}``); ``logits`` is the model's output where it does not. Forward hooks are registered for
    the time of a call alone, or of a ``with`` block around several calls (:meth:`hooks`).

    Args:
        model: any module.
        paths: the paths to read; each is a key of the result.
        compile: ``inductor``: run the model by ``torch.compile``; ``reduce-overhead``: in that mode
            of it, CUDA graphs. What a call returns is then overwritten by the next one.

    Raises:
        RecipeError: a path that is malformed or names no module of the model.
    """

    def __init__(self, model: nn.Module, paths: Iterable[str], compile: Compile = "none") -> None:
        self.model = model
        self.short = {"logits": "", **contract.taps(model)}
        self.specs = {path: self._parse(path) for path in paths}
        # How many calls of each place have to be seen.
        self._needed: dict[_Place, int] = {}
        for place, call, _ in self.specs.values():
            self._needed[place] = max(self._needed.get(place, 0), (call or 0) + 1)
        self._records: dict[_Place, list[_Record]] = {}
        self._stop: Literal["never", "deepest"] = "never"
        self._hooked = False
        self._compiled = compile != "none"
        self._run: Callable[..., Any] = self._forward
        self._run_to_deepest: Callable[..., Any] = self._forward_to_deepest
        if self._compiled:
            mode = compile if compile == "reduce-overhead" else None
            self._run = torch.compile(self._forward, mode=mode)
            self._run_to_deepest = torch.compile(self._forward_to_deepest, mode=mode)

    def __call__(self, *inputs: Any) -> tuple[Any, dict[str, Tensor]]:
        """Run the whole model once on ``inputs``, and return its output and the taps.

        Raises:
            RecipeError: a module that did not run, or ran several times without ``@call``, or an
                output that is no tensor or was changed in place later in the pass; the message
                lists the choices.
        """
        with self.hooks():
            output, records = self._run(*inputs)
        return output, self._picked(records)

    def extract(self, *inputs: Any) -> dict[str, Tensor]:
        """Return the taps alone; the model runs no further than the deepest one.

        A module without ``@call`` is taken to run once: a whole call has shown that it does.

        Raises:
            RecipeError: as a call.
        """
        # A compiled graph returns nothing else, so that what follows the taps is dead code.
        compiled = self._compiled or torch.compiler.is_compiling()
        self._stop = "never" if compiled else "deepest"
        try:
            with self.hooks():
                records = self._run_to_deepest(*inputs)
        finally:
            self._stop = "never"
        return self._picked(records)

    def _forward(self, *inputs: Any) -> tuple[Any, dict[_Place, list[_Record]]]:
        self._records = {place: [] for place in self._needed}
        return self.model(*inputs), self._records

    def _forward_to_deepest(self, *inputs: Any) -> dict[_Place, list[_Record]]:
        with suppress(_DeepestTapReached):
            self._forward(*inputs)
        return self._records

    @contextmanager
    def hooks(self) -> Iterator[None]:
        """Register the forward hooks, and remove them whatever happens.

        Calls within the block find them there: ``torch.compile`` traces modules that have hooks,
        but no registration of any.
        """
        if self._hooked:
            yield
            return
        handles = [self._register(place) for place in self._needed]
        self._hooked = True
        try:
            yield
        finally:
            self._hooked = False
            self._records = {}
            for handle in handles:
                handle.remove()

    def _register(self, place: _Place) -> Any:
        module = self.model.get_submodule(place.module)

        def before(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            self._note(place, inputs[0] if len(inputs) == 1 else inputs)

        def after(module: nn.Module, inputs: Any, output: Any) -> None:
            self._note(place, output)

        if place.side == "input":
            return module.register_forward_pre_hook(before)
        return module.register_forward_hook(after)

    def _note(self, place: _Place, value: Any) -> None:
        """Record what passes a place; end the forward pass where nothing is missing any more."""
        self._records[place].append(_record(value))
        if self._stop == "never":
            return
        if all(len(self._records[other]) >= count for other, count in self._needed.items()):
            raise _DeepestTapReached

    def _picked(self, records: Mapping[_Place, list[_Record]]) -> dict[str, Tensor]:
        return {path: _pick(path, spec, records[spec.place]) for path, spec in self.specs.items()}

    def _parse(self, path: str) -> _Spec:
        match = _PATH.match(self.short.get(path, path))
        if match is None:
            raise RecipeError(f"Tap '{path}' is malformed; write module[@call][[item]], for instance 'head.conv@2[0]'.")
        name = match["module"]
        modules = dict(self.model.named_modules())
        if name not in modules:
            raise RecipeError(
                f"Tap '{path}': {type(self.model).__name__} has no module '{name}'. "
                f"{suggest(path, self.short)} {_nearest_modules(name, modules)}"
            )
        side: Literal["input", "output"] = "input" if match["port"] else "output"
        call = None if match["call"] is None else int(match["call"])
        return _Spec(_Place(name, side), call, match["item"])


def _record(value: Any) -> _Record:
    versions: dict[int, int] = {}
    # A compiled graph has no versions: it keeps what a module returned, whatever happens to it in
    # place.
    if not torch.compiler.is_compiling():
        for tensor in _tensors(value):
            versions[id(tensor)] = _version(tensor)
    return _Record(value, versions)


def _pick(path: str, spec: _Spec, records: list[_Record]) -> Tensor:
    """Return the tensor of a path among what passed its place.

    Raises:
        RecipeError: there is none, or there are several, or its values are lost.
    """
    module = spec.place.module
    if not records:
        raise RecipeError(f"Tap '{path}': module '{module}' did not run in this forward pass.")
    if spec.call is None and len(records) > 1:
        item = f"[{spec.item}]" if spec.item else ""
        choices = ", ".join(f"{module}@{number}{item}" for number in range(len(records)))
        raise RecipeError(f"Tap '{path}' fired {len(records)} times in one forward pass; choose one of {choices}.")
    call = spec.call or 0
    if call >= len(records):
        raise RecipeError(
            f"Tap '{path}': there is no call {call}; '{module}' ran {len(records)} times, so the "
            f"last one is @{len(records) - 1}."
        )
    whole, versions = records[call]
    value = whole if spec.item is None else _item(path, spec.item, whole)
    if not isinstance(value, Tensor):
        raise RecipeError(f"Tap '{path}' gives {describe_value(value)}, not a tensor; choose an item.")
    if versions and versions.get(id(value)) != _version(value):
        # The version counts changes in place: what a term would compare is no longer what passed
        # here.
        verb = "returned" if spec.place.side == "output" else "was given"
        raise RecipeError(
            f"Tap '{path}': what '{module or 'the model'}' {verb} was changed in place later in "
            "the pass, so its values are lost. Tap the module that changes it instead: the "
            "activation or the block that follows."
        )
    return value


def _tensors(value: Any) -> list[Tensor]:
    """Return the tensors that a path can reach in ``value``."""
    if isinstance(value, Mapping):
        value = list(value.values())
    items = value if isinstance(value, (list, tuple)) else [value]
    return [item for item in items if isinstance(item, Tensor)]


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def _item(path: str, item: str, value: Any) -> Any:
    try:
        if isinstance(value, Mapping):
            return value[item]
        if isinstance(value, (list, tuple)):
            return value[int(item)]
    except (KeyError, IndexError, ValueError) as error:
        raise RecipeError(f"Tap '{path}': no item '{item}' in {describe_value(value)}.") from error
    raise RecipeError(f"Tap '{path}': {describe_value(value)} has no item '{item}'; leave out '[{item}]'.")


def describe_value(value: Any) -> str:
    """Describe what passed a place and how a path chooses an item of it, for messages."""
    if isinstance(value, Mapping):
        items = "|".join(f"[{key}]" for key in value)
        return f"a dict with the keys {', '.join(map(str, value))} (write {items})"
    if isinstance(value, (list, tuple)):
        return f"a {type(value).__name__} of {len(value)} (write [0] to [{len(value) - 1}])"
    return f"one {type(value).__name__}"


def _nearest_modules(name: str, modules: Mapping[str, nn.Module]) -> str:
    """List the children of the deepest part of ``name`` that exists, and the nearest name."""
    parent = name
    while parent not in modules:
        parent = parent.rpartition(".")[0]
    children = ", ".join(child for child, _ in modules[parent].named_children()) or "none"
    near = get_close_matches(name, modules, n=1)
    nearest = f"; nearest: {near[0]!r}" if near else ""
    return f"Modules in '{parent or 'the model'}': {children}{nearest}."
