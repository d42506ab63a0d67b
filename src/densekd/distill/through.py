"""Teacher head with gradient: the frozen rest of it runs on a student's feature.

SimKD (arXiv 2203.14001) and CrossKD (arXiv 2306.11369) compare what comes out with the teacher's
own output.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from densekd.distill.taps import Taps, describe_value
from densekd.distill.teacher import FrozenTeacher, Precision, teacher_precision
from densekd.errors import RecipeError, UserError
from densekd.ops.precision import to_float32

Key = int | str


@dataclass(frozen=True)
class _Entrance:
    """Input of the first module: a single map, or a list, tuple or dict of maps.

    Args:
        container: the type that the module takes; Tensor for a single map.
        keys: of the maps in it, in order.
        replaced: the keys of those that the student's maps take the place of, in the order of
            these.
        shapes: of the teacher's maps that are replaced.
        taps: key -> path in the teacher, for the maps that stay the teacher's.
    """

    container: type
    keys: tuple[Key, ...]
    replaced: tuple[Key, ...]
    shapes: tuple[torch.Size, ...]
    taps: dict[Key, str]

    def fill(self, maps: tuple[Tensor, ...], teacher_features: Mapping[str, Tensor]) -> Any:
        """Put the student's maps among the teacher's."""
        if issubclass(self.container, Tensor):
            return maps[0]
        student = dict(zip(self.replaced, maps, strict=True))
        filled: dict[Key, Tensor] = {}
        for key in self.keys:
            filled[key] = student[key] if key in student else teacher_features[self.taps[key]]
        # The module gets the kind of container that the teacher gives it.
        if issubclass(self.container, Mapping):
            return filled
        kind = tuple if issubclass(self.container, tuple) else list
        return kind(filled.values())


class TeacherHead:
    """Frozen rest of a teacher's head, run on a student's adapted feature with gradient.

    The student's map takes the place of the teacher's at the entrance of the first module; every
    further module gets what the one before it returns. The gradient reaches the student and its
    adapter; the teacher's parameters get none. This is no ``nn.Module``: the parameters belong to
    the teacher, not to the term that sends something through them, so that they are in no
    checkpoint, no optimizer and no exported student.

    Args:
        teacher: its modules are looked up at each call, so that batch norms may be fused after this
            was built. :class:`densekd.distill.teacher.FrozenTeacher` freezes it and keeps it in
            evaluation mode.
        modules: paths of modules of the teacher that take and return one tensor. The first may take
            a list, tuple or dict of maps: ``head[3]`` says which of them is the student's, the
            others are the teacher's; with as many maps of the student, ``head`` takes them all.
        images: ``[B, 3, H, W]`` in [0, 1]; the teacher runs once on them, to see what the first
            module takes.
        maps: how many maps of the student go in together.
        precision: see :class:`densekd.distill.teacher.FrozenTeacher`.

    Raises:
        RecipeError: an unknown module, one that does not run, or one that does not take as many
            maps.
    """

    def __init__(
        self,
        teacher: nn.Module,
        modules: Sequence[str],
        images: Tensor,
        maps: int = 1,
        precision: Precision = "training",
    ) -> None:
        self.teacher = teacher
        self.precision = precision
        self.modules = tuple(_find(teacher, path).place.module for path in modules)
        self._entrance = _find_entrance(teacher, modules[0], images, maps)

    @property
    def shapes(self) -> tuple[torch.Size, ...]:
        """Shapes of the maps that the student's take the place of, at the probe's images."""
        return self._entrance.shapes

    @property
    def taps(self) -> tuple[str, ...]:
        """Paths that are read in the teacher's own forward pass: its maps beside the student's."""
        return tuple(self._entrance.taps.values())

    @property
    def boundaries(self) -> tuple[str, ...]:
        """Taps of what enters and leaves the modules: no batch norm is fused across them."""
        entrance = f"in:{self.modules[0]}@0"
        paths = [f"{entrance}[{key}]" for key in self._entrance.keys] or [entrance]
        # Of a module that runs several times the first call is enough: a batch norm is fused for
        # all or for none.
        for module in self.modules:
            paths.append(f"{module}@0")
        return tuple(paths)

    def __call__(
        self,
        student: Tensor | tuple[Tensor, ...],
        teacher_features: Mapping[str, Tensor],
    ) -> Tensor:
        """Return what the teacher's modules make of the student's maps.

        Args:
            student: adapted, ``[B, C, H, W]`` with the channels of the map that it replaces, or a
                tuple of such.
            teacher_features: the teacher's taps; those of :attr:`taps` are read.

        Raises:
            RecipeError: the last module does not return a tensor.
        """
        maps = student if isinstance(student, tuple) else (student,)
        # The first module may change its input in place, and the student's own features are read
        # elsewhere.
        maps = tuple(feature.clone() for feature in maps)
        if self.precision == "32":
            maps = tuple(to_float32(feature) for feature in maps)
        x = self._entrance.fill(maps, teacher_features)
        with teacher_precision(self.precision, maps[0].device.type):
            # Looked up now: a fused batch norm is another module than the one that was there at the
            # build.
            for path in self.modules:
                x = self.teacher.get_submodule(path)(x)
        if not isinstance(x, Tensor):
            last = self.modules[-1]
            raise RecipeError(f"through '{last}' gives {describe_value(x)}, not a tensor.")
        return x

    def __deepcopy__(self, memo: Any) -> "TeacherHead":
        """Share the teacher: it is frozen, and there is one."""
        return self


def require_teacher(heads: Iterable[TeacherHead], teacher: nn.Module | None) -> None:
    """Check that the teacher whose head is used is the one that the training runs.

    Raises:
        UserError: there is none, it is another, or cached features stand in for it.
    """
    own = teacher.model if isinstance(teacher, FrozenTeacher) else None
    for head in heads:
        if head.teacher is not own:
            raise UserError(
                f"A term goes through '{head.modules[0]}' of a teacher that this training does "
                "not run; give the teacher itself, neither another one nor its cached features."
            )


def _find(teacher: nn.Module, path: str) -> Any:
    """Parse the path of a module, as a tap is parsed."""
    return Taps(teacher, [path]).specs[path]


def _find_entrance(teacher: nn.Module, path: str, images: Tensor, maps: int) -> _Entrance:
    """Find out what a module takes, and which of it the student's maps replace.

    Raises:
        RecipeError: the module does not run or does not take as many maps.
    """
    spec = _find(teacher, path)
    call = spec.call or 0
    given = _given(teacher, spec.place.module, call, images)
    if isinstance(given, Tensor):
        if maps != 1 or spec.item is not None:
            raise RecipeError(f"through '{path}': the module takes one map; give one student tap, and no item.")
        return _Entrance(Tensor, (), (), (given.shape,), {})
    # Several maps: some are the student's, and the teacher's own forward pass gives the others by
    # taps.
    entries: dict[Key, Tensor] = dict(given if isinstance(given, Mapping) else enumerate(given))
    replaced = _replaced(path, entries, spec.item, maps)
    taps: dict[Key, str] = {}
    for key in entries:
        if key not in replaced:
            taps[key] = f"in:{spec.place.module}@{call}[{key}]"
    shapes = tuple(entries[key].shape for key in replaced)
    return _Entrance(type(given), tuple(entries), replaced, shapes, taps)


def _given(teacher: nn.Module, module: str, call: int, images: Tensor) -> Any:
    """Return what a module is given in a forward pass of the teacher.

    Raises:
        RecipeError: it does not run, or takes something else than maps.
    """
    calls: list[tuple[Any, ...]] = []
    hooked = teacher.get_submodule(module)
    handle = hooked.register_forward_pre_hook(lambda _, inputs: calls.append(inputs))
    mode = teacher.training
    try:
        with torch.no_grad():
            teacher.eval()(images)
    finally:
        handle.remove()
        teacher.train(mode)
    if call >= len(calls):
        raise RecipeError(f"through '{module}': the teacher runs it {len(calls)} times in one forward pass.")
    inputs = calls[call]
    if len(inputs) != 1 or not isinstance(inputs[0], Tensor | Mapping | list | tuple):
        raise RecipeError(f"through '{module}': it takes more than maps; choose a module that takes maps alone.")
    return inputs[0]


def _replaced(
    path: str,
    entries: Mapping[Key, Any],
    item: str | None,
    maps: int,
) -> tuple[Key, ...]:
    """Return the places of the student's maps in the list or dict that a module takes.

    Raises:
        RecipeError: which ones they are cannot be told.
    """
    if item is None and maps == len(entries):
        return tuple(entries)
    chosen = [key for key in entries if str(key) == item]
    if chosen and maps == 1:
        return tuple(chosen)
    choices = ", ".join(f"{path.partition('[')[0]}[{key}]" for key in entries)
    raise RecipeError(
        f"through '{path}': the module takes {len(entries)} maps, and the student gives {maps}. "
        f"Choose the one whose place the student's map takes ({choices}), or give as many student "
        "taps."
    )
