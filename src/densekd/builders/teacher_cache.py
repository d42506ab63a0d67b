"""Teacher cache of a recipe: what is stored, how it is packed, and what it is identified by."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from densekd.data.contract import TrainingData
from densekd.data.maps import TrainingSet
from densekd.data.picture import RGB
from densekd.distill.teacher import FrozenTeacher
from densekd.errors import RecipeError
from densekd.models.mapped import RemapClasses
from densekd.recipe import Recipe, TeacherCacheSpec, TeacherSpec
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
        writer: which views, and how they are packed.
        teacher: fills it.
        cached: stands in for the teacher in a training.
    """

    store: Store
    writer: CacheWriter
    teacher: FrozenTeacher
    cached: CachedTeacher


def build_cache(
    recipe: Recipe,
    teacher: FrozenTeacher,
    digest: str,
    samples: TrainingData,
) -> Cache | None:
    """Find the teacher cache that a recipe wants, complete or not; nothing is written.

    Args:
        recipe: with or without a ``teacher.cache``.
        teacher: what will fill it.
        digest: of the teacher before its batch norms were fused.
        samples: the augmented training set.

    Raises:
        UserError: ``top_k`` without logits that have more classes, or a folder that holds something
            else.
    """
    if recipe.teacher is None or recipe.teacher.cache is None:
        return None
    spec = recipe.teacher.cache
    if not isinstance(samples, TrainingSet):
        raise RecipeError(
            "teacher.cache: replays views of one size; batches of detection are padded to their largest. Remove it."
        )
    # One forward pass shows which tensors there are, and of which shapes.
    images = torch.rand(1, recipe.data.channels, *recipe.probe_size).contiguous(memory_format=torch.channels_last)
    teacher_features = teacher(images)
    # The batch of one forward pass is that of the training.
    batch = max(1, recipe.data.batch_size // recipe.training.accumulate)
    views = AugmentedViews(samples, spec.views)
    writer = CacheWriter(views, _packings(spec, teacher_features), batch, recipe.data.loading_processes)
    # A folder belongs to these facts; another teacher, tap, view or image makes another cache.
    shapes, channels = {}, {}
    for path, feature in teacher_features.items():
        shapes[path] = "x".join(map(str, feature.shape[1:]))
        channels[path] = feature.shape[1]
    facts: dict[str, dict[str, Any]] = {
        "teacher": {
            "digest": digest,
            "precision": teacher.precision,
            "classes": _class_facts(recipe.teacher, teacher.model),
        },
        "taps": shapes,
        **_facts_of_views(recipe, spec, samples),
        "stored": {"dtype": spec.dtype, "top_k": spec.top_k},
    }
    example = example_of(writer.pack(teacher_features))
    store = Store(Path(spec.folder).expanduser(), Layout(facts, len(views), example))
    return Cache(store, writer, teacher, CachedTeacher(channels))


def _class_facts(spec: TeacherSpec, model: nn.Module) -> str:
    """Describe how a teacher's classes became the data's, also where they were matched by name."""
    if spec.classes is None and isinstance(model, RemapClasses):
        numbers = [group[0] for group in model.merge.groups]
        # A mere order; class maps that take some of many classes are told apart by the taps' shapes.
        if sorted(numbers) == list(range(len(numbers))):
            return f"by name {numbers}"
    return str(spec.classes)


def _facts_of_views(
    recipe: Recipe,
    spec: TeacherCacheSpec,
    samples: TrainingSet,
) -> dict[str, dict[str, Any]]:
    """Describe what the teacher was shown: augmented views of these images."""
    # Caches of RGB images say nothing of bands, as those of earlier versions.
    bands = {} if recipe.data.bands == RGB else {"bands": str(recipe.data.bands)}
    return {
        "views": {"count": spec.views, "seed": spec.seed, **recipe.augment.model_dump(mode="json")},
        "data": {
            "files": describe_files(samples.files),
            "images": len(samples),
            "resize": str(recipe.data.input_size),
            **bands,
        },
    }


def _packings(spec: TeacherCacheSpec, teacher_features: Mapping[str, Tensor]) -> dict[str, Packing]:
    """Choose how each tap is stored: of logits the largest ones, if the recipe wants that.

    Raises:
        RecipeError: ``top_k`` without such logits.
    """
    packings = {}
    for path, feature in teacher_features.items():
        cut = path in ("logits", "aux") and feature.shape[1] > spec.top_k
        packings[path] = Packing(spec.dtype, spec.top_k if cut else 0)
    if spec.top_k and not any(packing.top_k for packing in packings.values()):
        raise RecipeError(f"teacher.cache.top_k: no tapped logits have more than {spec.top_k} classes; leave it out.")
    return packings
