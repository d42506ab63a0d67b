"""Datasets of a recipe, and the random views of its training images."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from densekd.data import DATASETS
from densekd.data.bands import with_bands
from densekd.data.class_order import follow, with_notes
from densekd.data.contract import Files
from densekd.data.huggingface import huggingface
from densekd.data.leave_out import LeaveOut
from densekd.data.maps import cache_budget
from densekd.data.picture import RGB, set_max_megapixels
from densekd.doors import DATASET
from densekd.errors import RecipeError, UserError
from densekd.recipe import DataSpec, Recipe
from densekd.registry import check_options, describe_own_error, resolve
from densekd.signature import read_options
from densekd.tasks.protocol import Augmentation


def build_files(spec: DataSpec, split: str) -> Files:
    """Find the files of one split, or of several joined by ``+``.

    With ``data.leave_out``, ``train`` and ``val`` are its groups.

    Raises:
        UserError: an unknown dataset, files that are missing or damaged, splits that cannot be
            joined, groups that are not there.
    """
    if spec.leave_out is None:
        return _joined(spec, split)
    groups = LeaveOut(**spec.leave_out.model_dump(exclude={"pool"}))
    if not groups.divides(split):
        return _joined(spec, split)
    return groups.part(_joined(spec, spec.leave_out.pool), split)


def _joined(spec: DataSpec, split: str) -> Files:
    """Find the files of the dataset's own splits, joined by ``+``."""
    set_max_megapixels(spec.max_megapixels)
    find = _dataset(spec.dataset)
    root = spec.root if "://" in spec.root else _as_path(spec.root)
    parts: list[Files] = []
    for part in split.split("+"):
        # What is left of the signature, root and split given, are the dataset's options.
        options = check_options(partial(find, root, part), _options(spec, find), {}, "data.options")
        found = _find(find, spec.dataset, root, part, options)
        if not isinstance(found, Files):
            raise RecipeError(
                f"data.dataset: {spec.dataset} returned {type(found).__name__}, no files with labels or boxes."
            )
        parts.append(found)
    parts = [with_bands(part, spec.bands) for part in parts]
    try:
        first, *others = _in_one_order(parts, split)
        return first.join(others) if others else first
    except UserError as error:
        raise RecipeError(f"data: '{split}': {error}") from error


def _as_path(root: str) -> Path:
    """Return the folder that a text names, whether it is there or not.

    Raises:
        RecipeError: no file system can have it, for instance because it is too long.
    """
    path = Path(root).expanduser()
    try:
        path.exists()
    except OSError as error:
        raise RecipeError(f"data.root: '{root:.60}' cannot be looked at: {error.strerror}.") from error
    return path


def _find(find: Callable[..., Files], name: str, root: Any, part: str, options: dict[str, Any]) -> Files:
    """Call a dataset's function; what one of the user's raises is said as theirs.

    Raises:
        RecipeError: a function of the user's that cannot be called so, or that fails.
    """
    # What our own raise besides errors for people is a mistake of ours.
    if ":" not in name or name.startswith("hf:"):
        return find(root, part, **options)
    try:
        return find(root, part, **options)
    except UserError:
        raise
    except Exception as error:
        raise RecipeError(
            f"data.dataset: {name} is called with (root, split) and the options, and failed: "
            f"{describe_own_error(error)}."
        ) from error


def _in_one_order(parts: Sequence[Files], split: str) -> list[Files]:
    """Bring splits that are joined to the classes of the one that has most of them.

    Raises:
        RecipeError: a split with a class that this one does not have.
    """
    # Of parts with as many classes the first counts.
    names = split.split("+")
    most = max(range(len(parts)), key=lambda k: (len(parts[k].classes.names), -k))
    leading = parts[most]
    found: list[Files] = []
    for name, part in zip(names, parts, strict=True):
        part, note = follow(part, leading.classes, leading.categories, f"'{name}'", f"'{names[most]}'")
        found.append(with_notes(part, note))
    return found


def build_validation(spec: DataSpec, training: Files) -> Files:
    """Find the files of the validation split, their classes counted as those of the training are.

    Args:
        spec: a recipe's data.
        training: the files of its training split.

    Raises:
        UserError: see :func:`build_files`.
        RecipeError: a class that the training split does not have; both lists are shown.
    """
    files = build_files(spec, spec.val)
    # Data of another kind has no classes to compare; the task says so.
    if type(files) is not type(training):
        return files
    who, whom = f"data.val ({spec.val})", f"data.train ({spec.train})"
    files, note = follow(files, training.classes, training.categories, who, whom)
    return with_notes(files, note)


def _options(spec: DataSpec, find: Callable[..., Files]) -> dict[str, Any]:
    """Return a dataset's options, with how its images are divided where the recipe says it."""
    if spec.split is None:
        return spec.options
    if "holdout" not in read_options(find):
        raise RecipeError(f"data.split: {spec.dataset} has splits of its own; remove data.split from the recipe.")
    return {**spec.options, "holdout": spec.split.model_dump()}


def _dataset(name: str) -> Callable[..., Files]:
    """Find the function that a recipe's ``data.dataset`` names."""
    if name.startswith("hf:"):
        return partial(huggingface, name.removeprefix("hf:"))
    return resolve(name, DATASETS, "dataset", "data.dataset", DATASET)


def build_views(recipe: Recipe) -> Augmentation:
    """Return the random views that a recipe wants of its training images."""
    cache = None if recipe.teacher is None else recipe.teacher.cache
    return Augmentation(
        resize=recipe.data.input_size,
        # Views that a teacher cache replays depend on its own seed.
        seed=recipe.training.seed if cache is None else cache.seed,
        cache_bytes=cache_budget(recipe.data.cache, recipe.data.loading_processes),
        band_means=None if recipe.data.bands == RGB else recipe.data.mean,
        **recipe.augment.model_dump(),
    )
