"""Old keys of recipes: accepted for one version, each with a note that says what to write today."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from densekd.errors import RecipeError
from densekd.terminal import logger

Path = tuple[str, ...]

_LOG = logger()

# Where a key was and how it is called now; * is every item of a list.
RENAMED: dict[Path, str] = {
    ("optimiser",): "optimizer",
    ("task", "normalise"): "normalize",
    ("distill", "*", "resize"): "resize_to",
    ("distill", "*", "options", "normalise"): "normalize",
    ("distill", "*", "options", "optimisation"): "optimization",
    ("distill", "*", "options", "critic_weight"): "discriminator_weight",
}


def rename_keys(content: dict[str, Any]) -> None:
    """Bring the content of a recipe to today's keys, in place, and note each old one once.

    Raises:
        RecipeError: an old key beside the new one.
    """
    for old, new in RENAMED.items():
        found = 0
        for parent, path in list(_parents(content, old)):
            if old[-1] not in parent or _is_own_loss(content, path):
                continue
            if new in parent:
                raise RecipeError(f"{_dotted(path)}: the old name of '{new}', which is there too; keep '{new}'.")
            _rename(parent, old[-1], new)
            found += 1
        if found:
            _note(_dotted(old), _dotted((*old[:-1], new)))
    data = content.get("data")
    if isinstance(data, dict) and "resize" in data:
        _split_resize(content, data)
    augment = content.get("augment")
    if isinstance(augment, dict) and isinstance(augment.get("photometric"), bool):
        _name_photometric(augment)


def rename_override(content: Mapping[str, Any], key: str) -> str:
    """Return today's name of an override's key, and note an old one."""
    path = tuple(key.split("."))
    for old, new in RENAMED.items():
        inside = path[: len(old)]
        if not _matches(inside, old) or _is_own_loss(content, path):
            continue
        renamed = (*inside[:-1], new, *path[len(old) :])
        _note(key, _dotted(renamed))
        return _dotted(renamed)
    return key


def _split_resize(content: Mapping[str, Any], data: dict[str, Any]) -> None:
    """Give the meanings that ``data.resize`` had keys of their own; height and width keep it."""
    sides = data["resize"]
    if isinstance(sides, int) and not isinstance(sides, bool):
        sides = [sides]
    if not isinstance(sides, list | tuple):
        return
    task = content.get("task")
    detection = isinstance(task, dict) and task.get("kind") == "detection"
    if len(sides) != 1 and not (detection and len(sides) == 2):
        return
    limits = dict(zip(("short_side", "long_side"), sides, strict=False))
    del data["resize"]
    for name in ("short_side", "long_side"):
        data.pop(name, None)
    data.update(limits)
    _note("data.resize", " and ".join(f"data.{name}" for name in limits))


def _name_photometric(augment: dict[str, Any]) -> None:
    """Name the distortion that ``photometric: true`` was; YAML reads a bare off as false."""
    if not augment["photometric"]:
        augment["photometric"] = "none"
        return
    augment["photometric"] = "torchvision"
    _LOG.warning(
        "note: augment.photometric: true means 'torchvision' (mmsegmentation's own is 'mmseg'); "
        "write the name, true will stop working in the next version."
    )


def _parents(content: Any, path: Path, walked: Path = ()) -> Iterator[tuple[dict[str, Any], Path]]:
    """Yield every mapping that may hold the last key of a path, and the path of that key."""
    key, *rest = path
    if not rest:
        if isinstance(content, dict):
            yield content, (*walked, key)
        return
    if key == "*" and isinstance(content, list | tuple):
        for index, item in enumerate(content):
            yield from _parents(item, tuple(rest), (*walked, str(index)))
    elif isinstance(content, dict):
        yield from _parents(content.get(key), tuple(rest), (*walked, key))


def _matches(path: Sequence[str], pattern: Path) -> bool:
    if len(path) != len(pattern):
        return False
    for step, wanted in zip(path, pattern, strict=True):
        if step != wanted and not (wanted == "*" and step.isdigit()):
            return False
    return True


def _is_own_loss(content: Mapping[str, Any], path: Sequence[str]) -> bool:
    """Tell whether a path leads to an option of a loss of the user's own."""
    if len(path) < 4 or path[0] != "distill" or path[2] != "options":
        return False
    terms, index = content.get("distill"), int(path[1])
    if not isinstance(terms, list | tuple) or index >= len(terms):
        return False
    term = terms[index]
    return isinstance(term, dict) and ":" in str(term.get("method", ""))


def _rename(parent: dict[str, Any], old: str, new: str) -> None:
    """Rename a key of a mapping and keep its place."""
    items = [(new if key == old else key, value) for key, value in parent.items()]
    parent.clear()
    parent.update(items)


def _dotted(path: Sequence[str]) -> str:
    return ".".join(path)


def _note(old: str, new: str) -> None:
    _LOG.warning("note: %s is called %s now; the old name will stop working in the next version.", old, new)
