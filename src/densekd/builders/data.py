"""Data sets and their augmentation."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from densekd.data import DATASETS
from densekd.data.contract import Files, TrainingData
from densekd.data.huggingface import huggingface
from densekd.data.maps import cache_budget
from densekd.errors import RecipeError
from densekd.recipe import DataSpec, Recipe
from densekd.registry import check_options, resolve
from densekd.tasks.protocol import Augmentation, Task


def build_files(spec: DataSpec, split: str) -> Files:
    """Find the files of one split, or of several joined by ``+``; a dataset is called with its root and a split.

    Raises:
        UserError: an unknown dataset, files that are missing or damaged, splits that cannot be joined.
    """
    find = _dataset(spec.dataset)
    root = spec.root if "://" in spec.root else Path(spec.root).expanduser()
    parts: list[Files] = []
    for part in split.split("+"):
        # What is left of the signature, root and split given, are the dataset's options.
        options = check_options(partial(find, root, part), spec.options, {}, "data.options")
        found = find(root, part, **options)
        if not isinstance(found, Files):
            raise RecipeError(
                f"data.dataset: {spec.dataset} returned {type(found).__name__}, no files with labels or boxes."
            )
        parts.append(found)
    first, *others = parts
    return first.join(others) if others else first


def _dataset(name: str) -> Callable[..., Files]:
    """Find the function that a recipe's ``data.dataset`` names."""
    if name.startswith("hf:"):
        return partial(huggingface, name.removeprefix("hf:"))
    return resolve(name, DATASETS, "dataset")


def build_training_set(recipe: Recipe, files: Files, task: Task) -> TrainingData:
    """Put the augmentation together."""
    data = recipe.data
    if task.keeps_aspect_ratio and data.resize is not None:
        raise RecipeError("data.resize changes the aspect ratio; boxes have data.short_side and data.long_side.")
    if not task.keeps_aspect_ratio and data.long_side is not None:
        raise RecipeError("data.long_side limits images with boxes; label maps have data.resize or data.short_side.")
    cache = None if recipe.teacher is None else recipe.teacher.cache
    views = Augmentation(
        resize=data.input_size,
        # Views that a teacher cache replays depend on its own seed.
        seed=recipe.training.seed if cache is None else cache.seed,
        cache_bytes=cache_budget(data.cache, data.workers),
        **recipe.augment.model_dump(),
    )
    return task.training_set(files, views)
