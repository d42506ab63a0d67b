"""A recipe: the whole truth about one training, as frozen data. YAML in, YAML out, no inheritance."""

from densekd.recipe.base import ComponentSpec, Precision
from densekd.recipe.models import ModelSpec, StudentSpec, TeacherCacheSpec, TeacherSpec
from densekd.recipe.reading import change_evaluation, dump_recipe, load_recipe, parse_recipe
from densekd.recipe.sections import BOTH, EQUAL_SECONDS, DataSpec, EvaluationSpec, Recipe, TrainingSpec
from densekd.recipe.terms import TermSpec

__all__ = [
    "BOTH",
    "EQUAL_SECONDS",
    "ComponentSpec",
    "DataSpec",
    "EvaluationSpec",
    "ModelSpec",
    "Precision",
    "Recipe",
    "StudentSpec",
    "TeacherCacheSpec",
    "TeacherSpec",
    "TermSpec",
    "TrainingSpec",
    "change_evaluation",
    "dump_recipe",
    "load_recipe",
    "parse_recipe",
]
