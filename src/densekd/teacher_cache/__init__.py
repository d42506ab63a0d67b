"""Teacher cache: a frozen teacher's features of fixed augmented views, written once, read in training."""

from densekd.teacher_cache.fill import CacheWriter, fill
from densekd.teacher_cache.packing import CachedTeacher, Packing
from densekd.teacher_cache.store import Layout, Store, example_of, gigabytes
from densekd.teacher_cache.views import AugmentedViews, CachedSamples, describe_files

__all__ = [
    "AugmentedViews",
    "CacheWriter",
    "CachedSamples",
    "CachedTeacher",
    "Layout",
    "Packing",
    "Store",
    "describe_files",
    "example_of",
    "fill",
    "gigabytes",
]
