"""Taps: read tensors inside a model by path, without touching the model."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from densekd.errors import RecipeError, suggest
from densekd.models import contract

Compile = Literal["none", "inductor"]

_PATH = re.compile(r"^(?P<module>[\w.\-]*)(@(?P<call>\d+))?(\[(?P<item>\w+)\])?$")


class _Spec(NamedTuple):
    module: str
    call: int | None
    item: str | None


class _Record(NamedTuple):
    """What a module returned, and the version each of its tensors had then (torch counts changes in place)."""

    output: Any
    versions: dict[int, int]


class _Enough(BaseException):
    """The deepest tap was read."""


class Taps:
    """Run a model and collect tensors on the way: ``Taps(model, paths)(images) -> (output, {path: tensor})``.

    A path is ``module[@call][[item]]``: a dotted module name, the number of the call when the module runs several
    times in one forward (a head shared by pyramid levels), and an index or key when it returns a tuple, list or dict.
    A model may define short names in ``model.taps`` (``{"logits": "head.classifier", ...}``); ``logits`` is the model's
    output where it does not. Hooks live only inside the call.

    Args:
        model: any module.
        paths: the paths to read; each is a key of the result.
        compile: ``inductor``: run the model by ``torch.compile``.

    Raises:
        RecipeError: a path that is malformed or names no module of the model.
    """

    def __init__(self, model: nn.Module, paths: Iterable[str], compile: Compile = "none") -> None:
        self.model = model
        self.short = {"logits": "", **contract.taps(model)}
        self.specs = {path: self._parse(path) for path in paths}
        self._needed: dict[str, int] = {}
        for name, call, _ in self.specs.values():
            self._needed[name] = max(self._needed.get(name, 0), (call or 0) + 1)
        self._records: dict[str, list[_Record]] = {}
        self._stop: Literal["never", "deepest"] = "never"
        self._compiled = compile == "inductor"
        self._run = torch.compile(self._forward) if self._compiled else self._forward
        self._reach = torch.compile(self._look) if self._compiled else self._look

    def __call__(self, *inputs: Any) -> tuple[Any, dict[str, Tensor]]:
        """Run the model once on ``inputs``.

        Raises:
            RecipeError: a module that did not run, or ran several times without ``@call``, or an output that is no
                tensor or was changed in place later in the pass; the message lists the choices.
        """
        with self._hooks():
            output, records = self._run(*inputs)
        return output, self._picked(records)

    def look(self, *inputs: Any) -> dict[str, Tensor]:
        """Return the taps alone; nothing behind the deepest one is run.

        A module without ``@call`` is taken to run once: whoever looks has called before.

        Raises:
            RecipeError: as a call.
        """
        # A compiled graph returns nothing else, so what lies behind the taps is dead code.
        self._stop = "never" if self._compiled else "deepest"
        try:
            with self._hooks():
                records = self._reach(*inputs)
        finally:
            self._stop = "never"
        return self._picked(records)

    def _forward(self, *inputs: Any) -> tuple[Any, dict[str, list[_Record]]]:
        self._records = {name: [] for name in self._needed}
        return self.model(*inputs), self._records

    def _look(self, *inputs: Any) -> dict[str, list[_Record]]:
        with suppress(_Enough):
            self._forward(*inputs)
        return self._records

    @contextmanager
    def _hooks(self) -> Iterator[None]:
        hooks = {name: self._recorder(name) for name in self._needed}
        handles = [self.model.get_submodule(name).register_forward_hook(hook) for name, hook in hooks.items()]
        try:
            yield
        finally:
            self._records = {}
            for handle in handles:
                handle.remove()

    def _recorder(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def record(module: nn.Module, inputs: Any, output: Any) -> None:
            self._records[name].append(_record(output))
            if self._stop == "deepest" and all(len(self._records[n]) >= k for n, k in self._needed.items()):
                raise _Enough

        return record

    def _picked(self, records: Mapping[str, list[_Record]]) -> dict[str, Tensor]:
        return {path: _pick(path, spec, records[spec.module]) for path, spec in self.specs.items()}

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
        return _Spec(name, int(match["call"]) if match["call"] else None, match["item"])


def _record(output: Any) -> _Record:
    # A compiled graph has no versions: it keeps what a module returned, whatever happens to it in place.
    tensors = [] if torch.compiler.is_compiling() else _tensors(output)
    return _Record(output, {id(tensor): _version(tensor) for tensor in tensors})


def _pick(path: str, spec: _Spec, records: list[_Record]) -> Tensor:
    if not records:
        raise RecipeError(f"Tap '{path}': module '{spec.module}' did not run in this forward pass.")
    if spec.call is None and len(records) > 1:
        item = "" if spec.item is None else f"[{spec.item}]"
        choices = ", ".join(f"{spec.module}@{k}{item}" for k in range(len(records)))
        raise RecipeError(f"Tap '{path}' fired {len(records)} times in one forward pass; choose one of {choices}.")
    call = spec.call or 0
    if call >= len(records):
        raise RecipeError(
            f"Tap '{path}': there is no call {call}; '{spec.module}' ran {len(records)} times, so the last one is "
            f"@{len(records) - 1}."
        )
    output, versions = records[call]
    value = output if spec.item is None else _item(path, spec.item, output)
    if not isinstance(value, Tensor):
        raise RecipeError(f"Tap '{path}' gives {_describe(value)}, not a tensor; choose an item.")
    if versions and versions.get(id(value)) != _version(value):
        raise RecipeError(
            f"Tap '{path}': what '{spec.module or 'the model'}' returned was changed in place later in the pass, so "
            "its values are lost. Tap the module that changes it instead: the activation or the block that follows."
        )
    return value


def _tensors(output: Any) -> list[Tensor]:
    """Return the tensors that a path can reach in ``output``."""
    if isinstance(output, Mapping):
        output = list(output.values())
    return [value for value in (output if isinstance(output, (list, tuple)) else [output]) if isinstance(value, Tensor)]


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def _item(path: str, item: str, value: Any) -> Any:
    try:
        if isinstance(value, Mapping):
            return value[item]
        if isinstance(value, (list, tuple)):
            return value[int(item)]
    except (KeyError, IndexError, ValueError) as error:
        raise RecipeError(f"Tap '{path}': no item '{item}' in {_describe(value)}.") from error
    raise RecipeError(f"Tap '{path}': {_describe(value)} has no item '{item}'; leave out '[{item}]'.")


def _describe(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"a dict with the keys {', '.join(map(str, value))} (write {'|'.join(f'[{k}]' for k in value)})"
    if isinstance(value, (list, tuple)):
        return f"a {type(value).__name__} of {len(value)} (write [0] to [{len(value) - 1}])"
    return f"one {type(value).__name__}"


def _nearest_modules(name: str, modules: Mapping[str, nn.Module]) -> str:
    """List the children of the deepest part of ``name`` that exists, and the name that comes nearest."""
    parent = name
    while parent not in modules:
        parent = parent.rpartition(".")[0]
    children = ", ".join(child for child, _ in modules[parent].named_children())
    near = get_close_matches(name, modules, n=1)
    return f"Modules in '{parent or 'the model'}': {children or 'none'}{f'; nearest: {near[0]!r}' if near else ''}."
