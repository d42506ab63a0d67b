"""From a recipe to live objects: the only room where strings become things."""

from densekd.build.cache import Cache
from densekd.build.data import Files, build_files
from densekd.build.models import build_model, build_teacher, probe
from densekd.build.task import build_inference
from densekd.build.terms import build_terms
from densekd.build.training import Built, build

__all__ = [
    "Built",
    "Cache",
    "Files",
    "build",
    "build_files",
    "build_inference",
    "build_model",
    "build_teacher",
    "build_terms",
    "probe",
]
