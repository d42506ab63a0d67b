"""A recipe: the whole truth about one training, as frozen data. YAML in, YAML out, no inheritance."""

from densekd.recipe.reading import change_evaluation, dump_recipe, load_recipe, parse_recipe
from densekd.recipe.sections import (
    ComponentSpec,
    DataSpec,
    EvaluationSpec,
    ModelSpec,
    Recipe,
    TeacherSpec,
    TermSpec,
    expand_braces,
)

__all__ = [
    "ComponentSpec",
    "DataSpec",
    "EvaluationSpec",
    "ModelSpec",
    "Recipe",
    "TeacherSpec",
    "TermSpec",
    "change_evaluation",
    "dump_recipe",
    "expand_braces",
    "load_recipe",
    "parse_recipe",
]
