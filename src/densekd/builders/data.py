"""Data sets and their augmentation."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torchvision.transforms import v2

from densekd.data import DATASETS
from densekd.data.detection import DetectionFiles, DetectionTrainingSet, joined
from densekd.data.files import SegmentationFiles
from densekd.data.huggingface import huggingface
from densekd.data.segmentation import TrainingSet, cache_budget
from densekd.data.transforms import RandomScaledCrop, ResizeKeepRatio, photometric_distortion
from densekd.errors import RecipeError
from densekd.recipe import DataSpec, Recipe
from densekd.registry import resolve

Files = SegmentationFiles | DetectionFiles
Augmented = TrainingSet | DetectionTrainingSet


def build_files(spec: DataSpec, split: str) -> Files:
    """Find the files of one split, or of several joined by ``+``; a dataset is called with its root and a split."""
    source, colon, name = spec.dataset.partition(":")
    find = partial(huggingface, name) if source == "hf" and colon else resolve(spec.dataset, DATASETS, "dataset")
    root = spec.root if "://" in spec.root else Path(spec.root).expanduser()
    parts: list[Any] = [find(root, part) for part in split.split("+")]
    for found in parts:
        if not isinstance(found, SegmentationFiles | DetectionFiles):
            raise RecipeError(
                f"data.dataset: {spec.dataset} returned {type(found).__name__}, no files with labels or boxes."
            )
    if isinstance(parts[0], DetectionFiles):
        return joined(parts)
    if any(found.label_map != parts[0].label_map for found in parts):
        raise RecipeError(f"data: the parts of '{split}' write their labels differently and cannot be joined.")
    together: SegmentationFiles = replace(parts[0], items=tuple(item for found in parts for item in found.items))
    return together


def build_training_set(recipe: Recipe, files: Files) -> Augmented:
    """Put the augmentation together."""
    spec, data = recipe.augment, recipe.data
    budget = cache_budget(data.cache, data.workers)
    cache = None if recipe.teacher is None else recipe.teacher.cache
    seed = recipe.training.seed if cache is None else cache.seed
    after = [v2.RandomHorizontalFlip(spec.flip), *([photometric_distortion()] if spec.photometric else [])]
    if isinstance(files, DetectionFiles):
        if spec.crop is not None:
            raise RecipeError("augment.crop cuts images for segmentation; detection has augment.short_side.")
        if data.resize is not None:
            raise RecipeError("data.resize changes the aspect ratio; boxes have data.short_side and data.long_side.")
        if spec.short_side is None:
            return DetectionTrainingSet(files, data.input_size, v2.Compose(after), seed, budget)
        resized = v2.Compose([ResizeKeepRatio(spec.short_side, data.long_side), *after])
        return DetectionTrainingSet(files, None, resized, seed, budget)
    if data.long_side is not None:
        raise RecipeError("data.long_side limits images with boxes; label maps have data.resize or data.short_side.")
    assert spec.crop is not None
    crop = RandomScaledCrop(spec.crop, spec.max_class_share, files.classes.ignore_index, spec.scale)
    return TrainingSet(files, data.input_size, v2.Compose([crop, *after]), seed, budget)
