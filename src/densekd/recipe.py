"""A recipe: the whole truth about one training, as frozen data. YAML in, YAML out, no inheritance."""

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, field_validator, model_validator

from densekd.errors import RecipeError, suggest

Shape = Literal["linear", "exponential", "jump"]
Size = tuple[PositiveInt, PositiveInt]
Positive = Annotated[float, Field(gt=0)]
Factor = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]

Tap = str | Annotated[tuple[str, ...], Field(min_length=1)]

# What pydantic adds to the location of an error inside a choice of types; the reader looks for keys.
_CHOICE = re.compile(r"(constrained-)?(float|str)|literal\[.*|(constrained-)?tuple(\[.*)?")


class _UniqueKeys(yaml.SafeLoader):
    """Plain data only, and no key twice in a mapping: YAML lets the last one win without a word."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping, or refuse it."""
        seen: set[Any] = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{name}' is there twice; keep one", key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ModelSpec(_Part):
    """A student, or what a teacher is."""

    model: str | None = Field(
        None,
        description="name of MODELS, hf:/timm:/smp:/torchvision:NAME or package.module:Name; a package has its own",
    )
    options: dict[str, Any] = Field(default_factory=dict, description="arguments of the builder")
    pretrained: str | None = Field(None, description="backbone weights: timm hub name or local file")
    checkpoint: str | None = Field(
        None, description="all weights: package, run folder, .safetensors, .ckpt or .pth; a teacher may say 'untrained'"
    )
    allow: tuple[str, ...] = Field((), description="patterns of keys that the checkpoint may lack or have besides")
    classes: dict[str, int | str | tuple[int | str, ...]] | None = Field(
        None,
        description="of a teacher that tells other classes apart: for each class of the data those of the teacher "
        "that it consists of, by number, or by name where its package knows names",
    )


class TeacherCacheSpec(_Part):
    """What the teacher says of a fixed number of views, written once and replayed."""

    folder: str = Field(description="for this data, teacher and views; made where it is missing")
    views: int = Field(ge=1, description="random views of each image; passes over the images take them in turn")
    dtype: Literal["fp8", "bf16", "fp32"] = Field("bf16", description="of the stored maps")
    top_k: int = Field(0, ge=0, description="classes of the logits kept at each position; 0: all")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="of the views, whatever training.seed is")


class TeacherSpec(ModelSpec):
    """A teacher, and how it is run."""

    precision: Literal["training", "32", "bf16"] = Field("training", description="training: the student's")
    compile: Literal["none", "inductor"] = Field("none", description="inductor: run by torch.compile")
    cache: TeacherCacheSpec | None = Field(None, description="replay the teacher instead of running it at every step")

    @field_validator("precision", mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) else value


class DataSpec(_Part):
    """Where the data is and how it is loaded."""

    dataset: str = Field(description="name of DATASETS, hf:NAME-OR-FOLDER, or package.module:function")
    root: str = Field(description="folder of the data")
    train: str = Field("train", description="split to learn from")
    val: str = Field("val", description="split to validate on")
    resize: Size | tuple[PositiveInt] | None = Field(
        None,
        description="what every image is first brought to, also at evaluation: height and width (detection: the "
        "limits of its shorter and longer side), or one number, its shorter side",
    )
    batch_size: int = Field(
        8, ge=1, description="images of one optimiser step, over all processes and accumulated parts"
    )
    workers: int = Field(0, ge=0, description="loading processes")
    cache: Factor | Literal["auto", "off"] = Field("auto", description="GB of decoded images kept in memory")

    @field_validator("resize", mode="before")
    @classmethod
    def _side(cls, value: Any) -> Any:
        return (value,) if isinstance(value, int) else value

    @field_validator("cache", mode="before")
    @classmethod
    def _word(cls, value: Any) -> Any:
        return "off" if value is False else value  # YAML reads a bare off as false


class AugmentSpec(_Part):
    """Random views of the training images."""

    crop: Size | None = Field(None, description="height, width (segmentation)")
    short_side: Size | None = Field(
        None, description="range that the limit of the shorter side is drawn from (detection); default: data.resize's"
    )
    scale: tuple[Positive, Positive] = Field((0.5, 2.0), description="range of the random factor")
    flip: float = Field(0.5, ge=0, le=1, description="probability of a horizontal flip")
    photometric: bool = Field(False, description="random brightness, contrast, saturation, hue")
    max_class_share: float = Field(
        0.75, gt=0, le=1, description="crops are redrawn while one class covers more; 1: never"
    )

    @field_validator("scale", "short_side")
    @classmethod
    def _ordered(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and value[0] > value[1]:
            raise ValueError("the smallest comes first")
        return value


class TaskSpec(_Part):
    """The student's own loss."""

    kind: Literal["segmentation", "detection", "none"] = Field(
        "segmentation",
        description="detection: boxes, the model brings its loss; none: no loss of its own, the student learns from "
        "the terms alone",
    )
    class_weights: Literal["none", "balanced"] | tuple[Factor, ...] = Field(
        "none", description="factors of the cross-entropy; balanced: 1 / log(1.02 + frequency), mean 1"
    )
    auxiliary_weight: float = Field(0.4, ge=0, description="factor of the auxiliary head's loss")
    normalise: Literal["valid", "all"] = Field(
        "valid",
        description="divisor of the cross-entropy: pixels that are not void, or all (mmsegmentation, SegDistill)",
    )


class EvaluationSpec(_Part):
    """How whole images are predicted and scored, in validation and afterwards."""

    crop: Size | None = Field(None, description="height, width of sliding windows; none: the whole image at once")
    stride: Size | None = Field(None, description="step of the windows; default: two thirds of the crop")
    scales: tuple[Positive, ...] = Field((1.0,), min_length=1, description="factors on the image's size, averaged")
    flip: Literal["none", "horizontal"] = Field("none", description="also predict the mirrored image")
    average: Literal["softmax", "logits"] = Field("softmax", description="what scales and mirror images average")
    absent: Literal["excluded", "zero"] = Field(
        "excluded", description="classes that never occur in the means; zero: TorchDistiller, CIRKD, HWD"
    )
    boundary: float = Field(0.0, ge=0, lt=1, description="tolerance of the boundary score in diagonals; 0: no score")

    @model_validator(mode="after")
    def _covering(self) -> "EvaluationSpec":
        if self.stride is not None and (
            self.crop is None or any(s > c for s, c in zip(self.stride, self.crop, strict=True))
        ):
            raise ValueError("stride needs a crop that is at least as large, or windows leave gaps")
        return self


class WeightSpec(_Part):
    """The weight of a term over the steps."""

    value: float = Field(ge=0)
    warmup: int = Field(0, ge=0)
    warmup_shape: Shape = "linear"
    decay: tuple[int, int] | None = Field(None, description="first and last step of the decay")
    decay_shape: Shape = "linear"


class TermSpec(_Part):
    """One distillation term."""

    method: str = Field(description="name of LOSSES or package.module:Name")
    weight: WeightSpec = Field(description="a number, or value with warmup and decay")
    options: dict[str, Any] = Field(default_factory=dict, description="arguments of the loss")
    student: Tap = Field("logits", description="tap, or a list for one loss; braces fan out: features.{0,1,2,3}")
    teacher: Tap = Field("logits", description="tap, or a list; braces fan out in step with the student's")
    adapter: Literal["none", "conv", "conv-bn-relu", "graph-context", "graph-context-conv"] = Field(
        "none", description="learnt, on the student's tap; all terms on one tap share its graph-context"
    )
    resize: Literal["none", "teacher", "student", "label"] = "none"

    @field_validator("weight", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return value if isinstance(value, (dict, WeightSpec)) else {"value": value}

    @field_validator("student", "teacher")
    @classmethod
    def _written_out(cls, value: Tap) -> Tap:
        if not isinstance(value, str) and any("{" in path for path in value):
            raise ValueError("braces make several terms, a list goes to one loss as a whole; write its taps out")
        return value

    @model_validator(mode="after")
    def _as_many(self) -> "TermSpec":
        students, teachers = (0 if isinstance(tap, str) else len(tap) for tap in (self.student, self.teacher))
        if students != teachers:
            raise ValueError("student and teacher are lists of as many taps, or neither is a list")
        return self

    def fan_out(self) -> list["TermSpec"]:
        """Return one spec per item of the braces, zipped over student and teacher; lists stay whole."""
        if not (isinstance(self.student, str) and isinstance(self.teacher, str)):
            return [self]
        students, teachers = expand_braces(self.student), expand_braces(self.teacher)
        if len(students) != len(teachers):
            raise RecipeError(
                f"'{self.student}' names {len(students)} taps, '{self.teacher}' {len(teachers)}; "
                "they are paired one to one."
            )
        return [self.model_copy(update={"student": s, "teacher": t}) for s, t in zip(students, teachers, strict=True)]


class OptimiserSpec(_Part):
    """See densekd.optim.Optimisation."""

    method: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(0.01, gt=0)
    weight_decay: float = Field(0.0005, ge=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    betas: tuple[Share, Share] = (0.9, 0.999)
    no_decay: tuple[str, ...] = Field((), description="norm, bias, or parts of parameter names")
    head_lr: float = Field(1.0, gt=0, description="factor outside the backbone")
    power: float = Field(0.9, ge=0, description="of the polynomial decay; 0: constant")
    milestones: tuple[PositiveInt, ...] = Field(
        (), description="steps at each of which the rate falls to a tenth, instead of the polynomial decay"
    )
    floor: float = Field(0.0, ge=0, description="learning rate at the end")
    warmup: int = Field(0, ge=0, description="steps of linear warm-up")
    warmup_ratio: float = Field(1e-6, ge=0, le=1)


class TrainingSpec(_Part):
    """How long, how precise, how often."""

    steps: int = Field(ge=1, description="optimiser steps")
    precision: Literal["32", "bf16"] = "32"
    compile: Literal["none", "inductor"] = Field("none", description="inductor: the student runs by torch.compile")
    accumulate: int = Field(1, ge=1, description="parts that a batch is split into")
    clip: float = Field(0.0, ge=0, description="largest gradient norm; 0: no clipping")
    seed: int = Field(0, ge=0, le=2**32 - 1)
    validate_every: int = Field(0, ge=0, description="steps; 0: at the end only")
    checkpoint_every: int = Field(500, ge=1, description="steps")
    log_every: int = Field(10, ge=1, description="steps")
    export: Literal["last", "best"] = Field("last", description="the weights that become student/")

    @field_validator("precision", mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) else value


class Recipe(_Part):
    """One training: data, student, and optionally a teacher with terms."""

    name: str = Field(pattern=r"^\w[\w.\-]*$", description="of the run folder")
    data: DataSpec
    augment: AugmentSpec = AugmentSpec()
    student: ModelSpec
    teacher: TeacherSpec | None = None
    distill: tuple[TermSpec, ...] = ()
    task: TaskSpec = TaskSpec()
    evaluation: EvaluationSpec = EvaluationSpec()
    optimiser: OptimiserSpec = OptimiserSpec()
    training: TrainingSpec
    kernels: Literal["auto", "reference"] = Field(
        "auto", description="how losses are computed: by kernels wherever one applies, or by the formulas beside them"
    )
    baseline: str | None = Field(None, description="'train': also train the student alone; or the folder of such a run")


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply ``key.path=value`` overrides.

    Raises:
        RecipeError: a missing or malformed file, an unknown key (the message lists the known ones), a wrong value.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys)
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read ({error}).") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: not YAML: {error}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path}: a recipe is a mapping; see recipes/ for examples.")
    for override in overrides:
        _override(content, override)
    return parse_recipe(content, str(path))


def parse_recipe(content: dict[str, Any], where: str) -> Recipe:
    """Check the content of a recipe.

    Args:
        content: plain data.
        where: its source, for the message.

    Raises:
        RecipeError: as :func:`load_recipe`.
    """
    try:
        recipe = Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError(f"{where}:\n" + "\n".join(f"  {_explain(e)}" for e in error.errors())) from error
    for index, term in enumerate(recipe.distill):
        try:
            term.fan_out()
        except RecipeError as error:
            raise RecipeError(f"{where}: distill.{index}: {error}") from error
    if recipe.distill and recipe.teacher is None:
        raise RecipeError(f"{where}: distill needs a teacher.")
    if recipe.teacher is not None and not recipe.distill:
        raise RecipeError(f"{where}: there is a teacher but nothing under distill; add a term or remove the teacher.")
    if recipe.task.kind == "none" and not recipe.distill:
        raise RecipeError(f"{where}: task.kind is none and there is nothing under distill, so nothing would be learnt.")
    if recipe.student.model is None:
        raise RecipeError(f"{where}: student.model is missing.")
    if recipe.task.kind == "segmentation" and recipe.augment.crop is None:
        raise RecipeError(f"{where}:\n  augment.crop: missing.")
    return recipe


def change_evaluation(spec: EvaluationSpec, changes: Sequence[str]) -> EvaluationSpec:
    """Apply ``key=value`` changes to the evaluation part of a recipe.

    Raises:
        RecipeError: an unknown key or a wrong value.
    """
    content: dict[str, Any] = spec.model_dump(mode="json")
    for change in changes:
        _override(content, change)
    try:
        return EvaluationSpec.model_validate(content)
    except ValidationError as error:
        raise RecipeError("\n".join(_explain(e, EvaluationSpec) for e in error.errors())) from error


def dump_recipe(recipe: Recipe) -> str:
    """Return the recipe as YAML, every default written out."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, width=120)


def expand_braces(path: str) -> list[str]:
    """Expand ``a.{0,1}.b`` to ``[a.0.b, a.1.b]``; several braces give their product, left to right."""
    parts = re.split(r"\{([^{}]*)\}", path)
    choices = [part.split(",") if k % 2 else [part] for k, part in enumerate(parts)]
    return ["".join(combination) for combination in itertools.product(*choices)]


def _override(content: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise RecipeError(f"'{override}' is no override; write key.path=value, for instance training.steps=100.")
    *parents, last = key.split(".")
    place: Any = content
    for parent in parents:
        place = _step_into(place, parent, key)
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise RecipeError(f"'{override}': the value is not YAML: {error}") from error
    if isinstance(place, list):
        place[_index(place, last, key)] = parsed
    else:
        place[last] = parsed


def _step_into(place: Any, part: str, key: str) -> Any:
    if isinstance(place, list):
        return place[_index(place, part, key)]
    if place.get(part) is None:
        place[part] = {}
    if part == "weight" and not isinstance(place[part], dict):
        place[part] = {"value": place[part]}
    if not isinstance(place[part], (dict, list)):
        raise RecipeError(f"{key}: '{part}' is {place[part]!r} and has no parts.")
    return place[part]


def _index(place: list[Any], part: str, key: str) -> int:
    if not part.isdigit() or int(part) >= len(place):
        raise RecipeError(f"{key}: '{part}' is no index of a list of {len(place)}.")
    return int(part)


def _explain(error: Any, part: type[BaseModel] = Recipe) -> str:
    location = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        known = _fields_at(part, error["loc"][:-1])
        return f"{location}: unknown key. {suggest(str(error['loc'][-1]), known)}"
    if error["type"] == "missing":
        return f"{location}: missing."
    location = ".".join(str(part) for part in error["loc"] if not _CHOICE.fullmatch(str(part)))
    return f"{location}: {error['msg'].removeprefix('Value error, ')}, got {error['input']!r}."


def _fields_at(part: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    for step in location:
        if isinstance(step, str) and step in part.model_fields:
            part = _parts_in(part.model_fields[step].annotation)[0]
    return list(part.model_fields)


def _parts_in(annotation: Any) -> list[type[BaseModel]]:
    """List the recipe parts that a field's type mentions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [part for argument in get_args(annotation) for part in _parts_in(argument)]
