"""The sections of a recipe and what each may say."""

import itertools
import logging
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, field_validator, model_validator

from densekd.errors import RecipeError

Shape = Literal["linear", "exponential", "jump"]
Size = tuple[PositiveInt, PositiveInt]
Positive = Annotated[float, Field(gt=0)]
Factor = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]

Tap = str | Annotated[tuple[str, ...], Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ComponentSpec(_Part):
    """A row of a table and its options; without options the name alone is enough."""

    name: str = Field(description="name in its table, or package.module:Name")
    options: dict[str, Any] = Field(default_factory=dict, description="arguments of the constructor")


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


Component = Annotated[ComponentSpec, BeforeValidator(_named, json_schema_input_type=str | ComponentSpec)]


class ModelSpec(_Part):
    """What a model is and where its weights come from."""

    model: str | None = Field(
        None,
        description="name of MODELS, hf:/timm:/smp:/torchvision:NAME or package.module:Name; a package has its own",
    )
    options: dict[str, Any] = Field(default_factory=dict, description="arguments of the builder")
    pretrained: str | None = Field(None, description="backbone weights: timm hub name, local file or URL")
    checkpoint: str | None = Field(
        None,
        description="all weights: package, run folder, .safetensors, .ckpt, .pth, or a file's URL; "
        "a teacher may say 'untrained'",
    )
    allow: tuple[str, ...] = Field((), description="patterns of keys that the checkpoint may lack or have besides")


class StudentSpec(ModelSpec):
    """A student, and what it begins with."""

    inherit: tuple[str, ...] = Field(
        (), description="parts of the teacher's name and shape whose weights it begins with: neck, head, ..."
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

    classes: dict[str, int | str | tuple[int | str, ...]] | None = Field(
        None,
        description="where it tells other classes apart: for each class of the data those of the teacher "
        "that it consists of, by number, or by name where its package knows names",
    )
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
    resize: Size | None = Field(
        None,
        description="height and width that every image is first resized to, also at evaluation",
    )
    short_side: PositiveInt | None = Field(
        None,
        description="instead of resize: the length that the shorter side is resized to, the aspect ratio kept",
    )
    long_side: PositiveInt | None = Field(
        None,
        description="with short_side: the longer side becomes no longer than this (detection)",
    )
    batch_size: int = Field(
        8, ge=1, description="images of one optimizer step, over all processes and accumulated parts"
    )
    workers: int = Field(0, ge=0, description="loading processes")
    cache: Factor | Literal["auto", "off"] = Field("auto", description="GB of decoded images kept in memory")

    @field_validator("cache", mode="before")
    @classmethod
    def _word(cls, value: Any) -> Any:
        return "off" if value is False else value  # YAML reads a bare off as false

    @model_validator(mode="after")
    def _one_size(self) -> "DataSpec":
        if self.resize is not None and self.short_side is not None:
            raise ValueError("resize and short_side exclude each other; set one of them to null")
        if self.long_side is not None and self.short_side is None:
            raise ValueError("long_side is a limit beside short_side, which is missing")
        return self

    @property
    def input_size(self) -> tuple[int, int] | tuple[int] | None:
        """Size that images are brought to: (height, width); (shorter side,); (shorter, longer) limits; or None."""
        if self.short_side is None:
            return self.resize
        if self.long_side is None:
            return (self.short_side,)
        return (self.short_side, self.long_side)


class AugmentSpec(_Part):
    """Random views of the training images."""

    crop: Size | None = Field(None, description="height, width (segmentation)")
    short_side: Size | None = Field(
        None, description="range that the limit of the shorter side is drawn from (detection); default: data.short_side"
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


class _Open(_Part):
    """A section whose keys are the arguments of a constructor, which checks them when it is called."""

    model_config = ConfigDict(extra="allow")

    @property
    def options(self) -> dict[str, Any]:
        """The keys that are not fields of the section."""
        return dict(self.model_extra or {})


class TaskSpec(_Open):
    """The student's own loss and how it is scored; further keys are options of the task."""

    kind: str = Field(
        "segmentation",
        description="name of TASKS or package.module:Name; none: no loss of its own, the student learns from the terms "
        "alone and is scored as usual for its data",
    )

    @model_validator(mode="before")
    @classmethod
    def _spelling(cls, value: Any) -> Any:
        # The key of recipes written before it was spelled as torch and mmsegmentation spell it.
        if isinstance(value, dict) and "normalise" in value and "normalize" not in value:
            logging.getLogger("densekd").warning("task.normalise is called task.normalize now.")
            return {("normalize" if key == "normalise" else key): one for key, one in value.items()}
        return value

    @property
    def has_own_loss(self) -> bool:
        """Whether the student learns from labels as well, and not from the terms alone."""
        return self.kind != "none"


class EvaluationSpec(_Open):
    """How whole images are predicted and scored, in validation and afterwards: options of the task."""


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
    resize_to: Literal["none", "teacher", "student", "label"] = Field(
        "none",
        description="whose height and width the maps are compared at; label: both are resized to that of the labels",
    )

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


class OptimizerSpec(_Part):
    """See densekd.distill.optimizers.OptimizerConfig."""

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

    steps: int = Field(ge=1, description="optimizer steps")
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
    student: StudentSpec
    teacher: TeacherSpec | None = None
    distill: tuple[TermSpec, ...] = ()
    task: TaskSpec = TaskSpec()
    evaluation: EvaluationSpec = EvaluationSpec()
    optimizer: OptimizerSpec = OptimizerSpec()
    training: TrainingSpec
    logging: tuple[Component, ...] = Field(
        (ComponentSpec(name="tensorboard"),),
        description="names of LOGGERS, or package.module:Name of Lightning loggers",
    )
    callbacks: tuple[Component, ...] = Field((), description="package.module:Name of Lightning callbacks")
    kernels: Literal["auto", "reference"] = Field(
        "auto", description="how losses are computed: by kernels wherever one applies, or by the formulas beside them"
    )
    baseline: str | None = Field(None, description="'train': also train the student alone; or the folder of such a run")


def expand_braces(path: str) -> list[str]:
    """Expand ``a.{0,1}.b`` to ``[a.0.b, a.1.b]``; several braces give their product, left to right."""
    parts = re.split(r"\{([^{}]*)\}", path)
    choices = [part.split(",") if k % 2 else [part] for k, part in enumerate(parts)]
    return ["".join(combination) for combination in itertools.product(*choices)]
