"""Sections of a sweep file: recipe, axes, exclusions, random search."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PositiveInt, StrictBool, field_validator, model_validator

from densekd.recipe.base import Section

# What an override may be: key.path=value, or a nested mapping as in a recipe.
Override = str | dict[str, Any]
Scalar = bool | int | float | str
_NAME = re.compile(r"\w[\w.\-]*")
# Characters of a name that stay a file's name on every system.
_LONGEST = 40


def _listed(value: Any) -> Any:
    """Let one override stand for a list of one, and nothing for none."""
    if value is None:
        return []
    return [value] if isinstance(value, str | dict) else value


Overrides = Annotated[list[Override], BeforeValidator(_listed, json_schema_input_type=list[Override] | Override | None)]


def _named(value: Any) -> Any:
    """Let numbers be names: YAML reads ``18:`` as a number."""
    if isinstance(value, dict):
        return {str(key): content for key, content in value.items()}
    return value


Points = Annotated[dict[str, Overrides], BeforeValidator(_named)]
Axis = Points | list[Scalar]


class RangeSpec(Section):
    """Where a value is drawn from; exactly one of the four."""

    uniform: tuple[float, float] | None = Field(None, description="evenly between two numbers")
    log_uniform: tuple[float, float] | None = Field(None, description="evenly between the logarithms of two numbers")
    integer: tuple[int, int] | None = Field(None, description="a whole number from the first to the second")
    choice: list[Any] | None = Field(None, min_length=1, description="one of a list")

    @model_validator(mode="after")
    def _one(self) -> "RangeSpec":
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                "one of uniform: [low, high], log_uniform: [low, high], integer: [low, high], choice: [..]"
            )
        bounds = getattr(self, given[0])
        if given[0] == "choice":
            return self
        if bounds[0] > bounds[1]:
            raise ValueError(f"{given[0]}: the smaller number comes first")
        if given[0] == "log_uniform" and bounds[0] <= 0:
            raise ValueError("log_uniform: both numbers must be above 0")
        return self


Ranges = dict[str, RangeSpec]


class SearchSpec(Section):
    """Random search: the same number of trials, with the same draws, for every combination of the axes."""

    trials: PositiveInt = Field(description="draws for each combination of the axes and each seed")
    seed: int = Field(0, description="of the draws; draw k of a key is the same in every combination")
    over: Ranges = Field(default_factory=dict, description="key of the recipe -> range")
    only: dict[str, dict[str, Ranges]] = Field(
        default_factory=dict,
        description="axis -> name -> key -> range: keys that only one name of an axis has",
    )

    @model_validator(mode="after")
    def _something(self) -> "SearchSpec":
        if not self.over and not self.only:
            raise ValueError("nothing to search: write over: {optimizer.lr: {log_uniform: [1e-4, 1e-1]}}")
        return self


class SlurmSpec(Section):
    """What submitit asks Slurm for; each process of the sweep is one job."""

    minutes: PositiveInt = Field(60, description="time limit of a job")
    partition: str | None = Field(None, description="where jobs run")
    gpus: int = Field(0, ge=0, description="GPUs of a job")
    cpus: PositiveInt = Field(1, description="processors of a job")
    gigabytes: PositiveInt | None = Field(None, description="memory of a job")
    more: dict[str, Any] = Field(default_factory=dict, description="further parameters of sbatch")


class RaySpec(Section):
    """What each process of the sweep takes of a Ray cluster."""

    gpus: float = Field(0, ge=0, description="GPUs of a process; a share is possible")
    cpus: float = Field(1, gt=0, description="processors of a process")


class SweepSpec(Section):
    """One sweep: a recipe, and what its trials change in it."""

    name: str = Field(pattern=r"^\w[\w.\-]*$", description="of the sweep's folder, runs/<name>")
    recipe: str = Field(description="a recipe's file, from the sweep's file or the current folder; or a name")
    overrides: Overrides = Field(default_factory=list, description="of every trial, before those of the axes")
    axes: dict[str, Axis] = Field(
        description="axis -> name -> overrides; or a list of values of the key that the axis is called after "
        "(seed stands for training.seed)",
    )
    exclude: list[dict[str, Any]] = Field(
        default_factory=list,
        description="combinations that are left out: axis -> name, or a list of names",
    )
    baseline: dict[str, Any] = Field(
        default_factory=dict,
        description="axis -> name that others are compared with; default: the first name of the first axis",
    )
    search: SearchSpec | None = Field(None, description="random search over ranges of keys")
    together: StrictBool | Annotated[int, Field(ge=2)] = Field(
        False,
        description="trials of the same data and training.seed are trained in one process, from one stream of batches "
        "and one pass of the teacher; a number: at most so many at once",
    )
    slurm: SlurmSpec = SlurmSpec()
    ray: RaySpec = RaySpec()

    @field_validator("axes")
    @classmethod
    def _points(cls, axes: dict[str, Axis]) -> dict[str, Axis]:
        if not axes:
            raise ValueError("at least one axis, for instance seed: [0, 1, 2]")
        for axis, points in axes.items():
            if not points:
                raise ValueError(f"{axis}: no value")
            labels = [label_of(axis, point) for point in points]
            _require_names(axis, labels)
        return axes

    @model_validator(mode="after")
    def _known_points(self) -> "SweepSpec":
        for index, one in enumerate(self.exclude):
            for axis, names in one.items():
                self._require_point(f"exclude.{index}", axis, names)
        for axis, name in self.baseline.items():
            self._require_point("baseline", axis, name)
        for axis, names in (self.search.only if self.search else {}).items():
            self._require_point("search.only", axis, list(names))
        return self

    def _require_point(self, where: str, axis: str, names: Any) -> None:
        if axis not in self.axes:
            raise ValueError(f"{where}: there is no axis '{axis}'; there is {', '.join(self.axes)}")
        known = [str(point) for point in self.axes[axis]]
        for name in names if isinstance(names, list) else [names]:
            if str(name) not in known:
                raise ValueError(f"{where}: axis {axis} has no '{name}'; it has {', '.join(known)}")


def label_of(axis: str, point: Any) -> str:
    """Return what a point of an axis is called in the names of trials: ``cwd``, ``seed0``, ``lr0.01``."""
    if isinstance(point, str):
        return point
    return f"{axis.rpartition('.')[2]}{point}"


def _require_names(axis: str, labels: list[str]) -> None:
    """Check that the names of an axis are names of files, and that no two are equal.

    Raises:
        ValueError: says which one is not.
    """
    for label in labels:
        if not _NAME.fullmatch(label) or len(label) > _LONGEST:
            raise ValueError(
                f"{axis}: '{label}' is no name; letters, digits, '_', '-' and '.', at most {_LONGEST} of them"
            )
    # File systems of Windows and macOS do not tell upper from lower case.
    if len({label.lower() for label in labels}) < len(labels):
        raise ValueError(f"{axis}: two names are equal")
