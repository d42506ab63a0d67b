"""What a teacher said of every view of every image, written once and replayed: the teacher cache."""

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
