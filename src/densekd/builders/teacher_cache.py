"""The teacher cache that a recipe wants."""

from dataclasses import dataclass
from pathlib import Path

import torch

from densekd.data.contract import TrainingData
from densekd.data.maps import TrainingSet
from densekd.distill.teacher import FrozenTeacher
from densekd.errors import RecipeError
from densekd.recipe import Recipe
from densekd.teacher_cache import (
    AugmentedViews,
    CachedTeacher,
    CacheWriter,
    Layout,
    Packing,
    Store,
    describe_files,
    example_of,
)


@dataclass(frozen=True)
class Cache:
    """A teacher cache, and all that is needed to fill it.

    Args:
        store: on disk, complete or not.
        filling: which views, and how they are packed.
        teacher: says what is stored.
        replay: stands in for it.
    """

    store: Store
    filling: CacheWriter
    teacher: FrozenTeacher
    replay: CachedTeacher


def build_cache(recipe: Recipe, teacher: FrozenTeacher, digest: str, samples: TrainingData) -> Cache | None:
    """Find the teacher cache that a recipe wants, or say what it will hold; nothing is written here.

    Args:
        recipe: with or without a ``teacher.cache``.
        teacher: what will fill it.
        digest: of the teacher before it was folded.
        samples: the augmented training set.

    Raises:
        UserError: ``top_k`` without logits that have more classes, or a folder that holds something else.
    """
    spec = None if recipe.teacher is None else recipe.teacher.cache
    if recipe.teacher is None or spec is None:
        return None
    if not isinstance(samples, TrainingSet):
        raise RecipeError("teacher.cache: replays views of one size; batches of detection are padded to their largest.")
    teacher_features = teacher(torch.rand(1, 3, *recipe.probe_size).contiguous(memory_format=torch.channels_last))
    logits = [
        path for path in teacher_features if path in ("logits", "aux") and teacher_features[path].shape[1] > spec.top_k
    ]
    if spec.top_k and not logits:
        raise RecipeError(f"teacher.cache.top_k: no tapped logits have more than {spec.top_k} classes; leave it out.")
    packings = {path: Packing(spec.dtype, spec.top_k if path in logits else 0) for path in teacher_features}
    views = AugmentedViews(samples, spec.views)
    together = max(1, recipe.data.batch_size // recipe.training.accumulate)
    filling = CacheWriter(views, packings, together, recipe.data.workers)
    facts = {
        "teacher": {"digest": digest, "precision": teacher.precision, "classes": str(recipe.teacher.classes)},
        "taps": {path: "x".join(map(str, x.shape[1:])) for path, x in teacher_features.items()},
        "views": {"count": spec.views, "seed": spec.seed} | recipe.augment.model_dump(mode="json"),
        "data": {"files": describe_files(samples.files), "images": len(samples), "resize": str(recipe.data.input_size)},
        "stored": {"dtype": spec.dtype, "top_k": spec.top_k},
    }
    layout = Layout(facts, len(views), example_of(filling.pack(teacher_features)))
    store = Store(Path(spec.folder).expanduser(), layout)
    return Cache(store, filling, teacher, CachedTeacher({path: x.shape[1] for path, x in teacher_features.items()}))
