"""Sections of a recipe: data, augmentation, task, evaluation, optimizer, training."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveInt, field_validator, model_validator

from densekd.recipe.base import (
    Bands,
    Component,
    ComponentSpec,
    Factor,
    Line,
    OnOff,
    OpenSection,
    Options,
    Positive,
    Precision,
    Scale,
    Section,
    Share,
    Size,
    bits,
    checked_bands,
)
from densekd.recipe.models import ModelSpec, StudentSpec, TeacherSpec
from densekd.recipe.terms import TermSpec

# What ``baseline`` says where the student alone gets the time of the distillation, and where a second one does.
EQUAL_SECONDS = "equal-seconds"
BOTH = "both"


class SplitSpec(Section):
    """How images without splits are divided: drawn once, written as lists in ``splits`` beside the data."""

    val: float = Field(0.2, ge=0, lt=1, description="share of the images to validate on")
    test: float = Field(0.0, ge=0, lt=1, description="share of the images for a split 'test'")
    seed: int = Field(0, description="seed of the draw")
    groups: str | None = Field(
        None,
        description="folder, or a regular expression on an image's path: what matches alike stays together",
    )


class LeaveOutSpec(Section):
    """Validation on whole groups of images that no training sees, such as a drive, a patient or a place."""

    pool: str = Field("train", description="splits of the dataset, joined by +, whose images are divided")
    groups: str = Field(
        description="folder, or a regular expression on an image's path: what it finds (its first group in "
        "parentheses, or the whole match) names the group"
    )
    val: tuple[str, ...] = Field(min_length=1, description="names of the groups that are the split 'val'")
    test: tuple[str, ...] = Field(
        (), description="names of the groups that are the split 'test'; empty: the dataset's own test split"
    )

    @model_validator(mode="after")
    def _apart(self) -> "LeaveOutSpec":
        twice = sorted({*self.val} & {*self.test})
        if twice:
            raise ValueError(f"'{twice[0]}' is in val and in test; name it in one of them")
        return self


class DataSpec(Section):
    """Where the data is and how it is loaded."""

    dataset: str = Field(
        description="name of DATASETS, hf:NAME-OR-FOLDER, or package.module:function",
    )
    root: str = Field(description="folder of the data")
    license: Line | None = Field(
        None,
        description="of images and labels, in a line; the student's package, its exports and its model card repeat it",
    )
    options: Options = Field(
        default_factory=dict,
        description="further arguments of the dataset's function",
    )
    train: str = Field("train", description="split to learn from")
    val: str = Field("val", description="split to validate on")
    split: SplitSpec | None = Field(
        None,
        description="how images that have no splits are divided (dataset folder, and exports of annotation tools)",
    )
    leave_out: LeaveOutSpec | None = Field(
        None,
        description="leave-one-group-out: the split 'val' is whole groups of images (a drive, a patient), the split "
        "'train' all others; images are divided anew, by their names, and no list is written",
    )
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
        8,
        ge=1,
        le=1_000_000,
        description="images of one optimizer step, over all processes and accumulated parts",
    )
    workers: Annotated[int, Field(ge=0, le=1024)] | Literal["auto"] = Field(
        "auto",
        description="loading processes of each process; 0: it loads between its steps; auto: a number that fits the "
        "machine, none for trainings on few cores and short ones. Results do not depend on it",
    )
    cache: Factor | Literal["auto", "off"] = Field(
        "auto",
        description="GB of decoded images kept in memory",
    )
    bands: Bands = Field(
        3,
        description="channels of the images: 3, RGB as a viewer shows it; 1, gray; any other number, all bands of the "
        "files as they are stored; or a list of numbers, from 1, of those that are read: [4, 3, 2]",
    )
    mean: tuple[float, ...] | None = Field(
        None,
        description="mean of each band in units of [0, 1], where bands are other than 3; measured if it is not given",
    )
    std: tuple[Positive, ...] | None = Field(
        None,
        description="standard deviation of each band in units of [0, 1], beside mean",
    )
    max_megapixels: Positive = Field(
        400.0,
        description="pictures of more pixels, in millions, are refused to protect the memory; raise it to read them",
    )
    allow: tuple[Literal["val-is-train", "nothing-to-learn"], ...] = Field(
        (),
        description="what would stop a training and is meant: val-is-train, a student is scored on the images that "
        "it learns from; nothing-to-learn, labels without anything to learn",
    )

    @field_validator("bands", mode="before")
    @classmethod
    def _known_bands(cls, value: Any) -> Any:
        return checked_bands(value)

    @model_validator(mode="after")
    def _one_mean_a_band(self) -> "DataSpec":
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std go together; write both or neither")
        if self.mean is None or self.std is None:
            return self
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(
                f"mean has {len(self.mean)} numbers and std {len(self.std)}, and bands are {self.channels}; write one "
                "for each band"
            )
        return self

    @field_validator("cache", mode="before")
    @classmethod
    def _word(cls, value: Any) -> Any:
        return "off" if value is False else value  # YAML reads a bare off as false

    @model_validator(mode="after")
    def _one_division(self) -> "DataSpec":
        if self.leave_out is not None and (self.train, self.val) != ("train", "val"):
            raise ValueError(
                "with leave_out, train and val are 'train' and 'val'; the dataset's own splits are in leave_out.pool"
            )
        if self.leave_out is not None and self.split is not None:
            raise ValueError("split and leave_out exclude each other; remove one, and name the images with pool: all")
        return self

    @model_validator(mode="after")
    def _one_size(self) -> "DataSpec":
        if self.resize is not None and self.short_side is not None:
            raise ValueError("resize and short_side exclude each other; set one of them to null")
        if self.long_side is not None and self.short_side is None:
            raise ValueError("long_side is a limit beside short_side, which is missing")
        return self

    @property
    def channels(self) -> int:
        """Number of channels of the images."""
        return self.bands if isinstance(self.bands, int) else len(self.bands)

    @property
    def loading_processes(self) -> int:
        """Loading processes; none where no machine has decided yet."""
        return 0 if self.workers == "auto" else self.workers

    @property
    def input_size(self) -> tuple[int, int] | tuple[int] | None:
        """Size of images: (height, width); (shorter side,); (shorter, longer) limits; or None."""
        if self.short_side is None:
            return self.resize
        if self.long_side is None:
            return (self.short_side,)
        return (self.short_side, self.long_side)


class AugmentSpec(Section):
    """Random views of the training images."""

    crop: Size | None = Field(None, description="height, width (segmentation)")
    short_side: Size | None = Field(
        None,
        description="range that the limit of the shorter side is drawn from (detection); default: data.short_side",
    )
    scale: tuple[Scale, Scale] = Field((0.5, 2.0), description="range of the random factor")
    flip: float = Field(0.5, ge=0, le=1, description="probability of a horizontal flip")
    photometric: Literal["none", "mmseg", "torchvision"] = Field(
        "none",
        description="random brightness, contrast, saturation and hue: mmseg, mmsegmentation's to the byte; "
        "torchvision, its steps with torchvision's color arithmetic",
    )
    padding: Literal["first", "last"] = Field(
        "first",
        description="crops of smaller images are padded with the mean color and void at the bottom and right: "
        "first, and then mirrored and distorted (CIRKD, TorchDistiller), or last (mmsegmentation)",
    )
    max_class_share: float = Field(
        0.75,
        gt=0,
        le=1,
        description="a crop is redrawn, at most ten times, while one class covers this share of its labelled "
        "pixels or there is one class alone; 1: never",
    )

    @field_validator("scale", "short_side")
    @classmethod
    def _ordered(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and value[0] > value[1]:
            raise ValueError("the smallest comes first")
        return value


class TaskSpec(OpenSection):
    """The student's own loss and how it is scored; further keys are options of the task."""

    kind: str = Field(
        "segmentation",
        description="name of TASKS or package.module:Name; none: no loss of its own, the student "
        "learns from the terms alone and is scored as usual for its data",
    )

    @property
    def has_own_loss(self) -> bool:
        """Whether the student learns from labels as well, and not from the terms alone."""
        return self.kind != "none"


class EvaluationSpec(OpenSection):
    """Prediction and scoring of whole images, in validation and afterwards: options of the task."""


class OptimizerSpec(Section):
    """Optimizer, parameter groups and learning rate schedule; everything counts optimizer steps."""

    method: Literal["sgd", "adamw"] = Field("sgd", description="torch's SGD or AdamW")
    lr: float = Field(0.01, gt=0, description="learning rate at the beginning")
    weight_decay: float = Field(
        0.0005,
        ge=0,
        description="of every parameter that no_decay does not name",
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")
    betas: tuple[Share, Share] = Field((0.9, 0.999), description="of adamw")
    no_decay: tuple[str, ...] = Field(
        (),
        description="parameters without weight decay: norm (those of normalization layers), bias, "
        "or any part of a parameter's name (absolute_pos_embed); named:norm excepts what is called norm, "
        "as OpenMMLab's custom_keys do: layer norms, and not batch norms (bn)",
    )
    head_lr: float = Field(
        1.0,
        gt=0,
        description="factor on the learning rate outside the backbone",
    )
    power: float = Field(0.9, ge=0, description="of the polynomial decay; 0: constant")
    milestones: tuple[PositiveInt, ...] = Field(
        (),
        description="steps at each of which the rate falls to a tenth, instead of the polynomial decay",
    )
    floor: float = Field(0.0, ge=0, description="learning rate at the end")
    warmup: int = Field(0, ge=0, description="steps of linear warm-up")
    warmup_ratio: float = Field(
        1e-6,
        ge=0,
        le=1,
        description="factor on the learning rate at its first step",
    )


class QuantiseSpec(Section):
    """Quantization-aware training (QAT): the student learns as the int8 model that it will be exported to."""

    bits: Literal["int8"] = Field("int8", description="of weights and activations")
    steps: Literal["power-of-two", "free"] = Field(
        "power-of-two",
        description="of the integer grids. power-of-two: integer engines and the training compute the same bits; "
        "free: up to twice as fine, engines round differently now and then",
    )
    activations: Literal["uint8", "int8"] = Field(
        "uint8",
        description="uint8: from the smallest to the largest value (ONNX Runtime, OpenVINO); int8: symmetric "
        "around 0 (TensorRT)",
    )
    keep_float: tuple[str, ...] = Field(
        ("last",),
        description="modules of the student that stay float, by name or pattern (head.*); last: the layers whose "
        "results are the output: the last classifier, a detector's scores and boxes",
    )
    calibrate: PositiveInt = Field(
        32,
        description="training images on which the ranges of activations are measured before the first step",
    )
    momentum: float = Field(
        0.05,
        gt=0,
        le=1,
        description="share of each step's range in the moving average of the ranges",
    )
    freeze_batchnorm: float = Field(
        0.4,
        ge=0,
        le=1,
        description="share of the steps after which batch norms use their running statistics, which then stay",
    )
    freeze_observers: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share of the steps after which the ranges of activations stay",
    )


def _bits_alone(value: Any) -> Any:
    """Let the bits stand for the section: ``quantise: int8``; YAML reads a bare off as false."""
    if value is False or value == "none":
        return None
    return {"bits": value} if isinstance(value, str) else value


Quantise = Annotated[
    QuantiseSpec | None,
    BeforeValidator(_bits_alone, json_schema_input_type=QuantiseSpec | Literal["int8", "none"] | None),
]


class TrainingSpec(Section):
    """Length, precision, and what is done every so many steps."""

    steps: Annotated[int, Field(ge=1)] | None = Field(None, description="optimizer steps; this or seconds")
    seconds: Annotated[float, Field(gt=0, le=10**9)] | None = Field(
        None,
        description="in place of steps: as many as take so long on this machine, measured at the start; the run's own "
        "recipe has the steps",
    )
    precision: Annotated[Literal["auto", "32", "bf16", "fp16"], bits(Literal["auto", 32, "32", "bf16", "fp16"])] = (
        Field(
            "auto",
            description="bf16, fp16: mixed precision (AMP), fp16 with a gradient scaler; auto: bf16 where the device "
            "multiplies in it, fp16 on older NVIDIA GPUs, else 32. The run's own recipe has what was chosen",
        )
    )
    compile: Literal["none", "inductor", "reduce-overhead"] = Field(
        "none",
        description="inductor: the student runs by torch.compile; reduce-overhead: in that mode of it, which replays "
        "CUDA graphs on an NVIDIA GPU",
    )
    quantise: Quantise = Field(
        None,
        description="int8: quantization-aware training, with further settings as a section",
    )
    deterministic: bool = Field(
        False,
        description="only operations that give the same bits in every run on the same GPU; slower, and one that has no "
        "such form is refused. A CPU gives the same bits anyway",
    )
    sync_batchnorm: Annotated[Literal["auto", "on", "off"], OnOff] = Field(
        "auto",
        description="batch norms of the student, adapters and losses share their statistics over all "
        "processes, the frozen teacher's never; auto: wherever several processes share a batch",
    )
    accumulate: int = Field(
        1,
        ge=1,
        description="parts that a batch is split into (gradient accumulation)",
    )
    clip: float = Field(0.0, ge=0, description="largest gradient norm; 0: no clipping")
    seed: int = Field(
        0,
        ge=0,
        le=2**32 - 1,
        description="of weights, views and everything else that is random",
    )
    validate_every: int = Field(
        0,
        ge=0,
        description="steps between two validations; 0: at the end only",
    )
    checkpoint_every: int = Field(500, ge=1, description="steps between two checkpoints")
    log_every: int = Field(
        10,
        ge=1,
        description="steps between two rows of metrics.csv; row k, counted from 1, has the learning rate of step k",
    )
    export: Literal["last", "best"] = Field("last", description="the weights that become student/")

    @property
    def length(self) -> int:
        """Number of optimizer steps.

        Raises:
            ValueError: seconds are written, and were not measured yet.
        """
        if self.steps is None:
            raise ValueError("training.seconds has to be measured before the steps are known")
        return self.steps

    @model_validator(mode="after")
    def _one_length(self) -> "TrainingSpec":
        if (self.steps is None) == (self.seconds is None):
            raise ValueError("write exactly one of steps and seconds; an override 'training.steps=null' removes one")
        return self

    @model_validator(mode="after")
    def _not_compiled(self) -> "TrainingSpec":
        if self.quantise is not None and self.compile != "none":
            raise ValueError(
                "quantise and compile exclude each other: ranges are observed by the student as it is; "
                "write 'compile: none'"
            )
        if self.accumulate > 1 and self.compile == "reduce-overhead":
            raise ValueError(
                "accumulate and compile: reduce-overhead exclude each other: a CUDA graph overwrites the gradients "
                "that were to be added up; write 'compile: inductor' or 'accumulate: 1'"
            )
        return self


class Recipe(Section):
    """One training: data, student, and optionally a teacher with terms."""

    name: str = Field(pattern=r"^\w[\w.\-]*$", description="of the run folder")
    data: DataSpec
    augment: AugmentSpec = AugmentSpec()
    student: StudentSpec
    teacher: TeacherSpec | None = None
    distill: tuple[TermSpec, ...] = Field(
        (),
        description="what of the two models is compared; the terms add up",
    )
    task: TaskSpec = TaskSpec()
    evaluation: EvaluationSpec = EvaluationSpec()
    optimizer: OptimizerSpec = OptimizerSpec()
    training: TrainingSpec
    logging: tuple[Component, ...] = Field(
        (ComponentSpec(name="tensorboard"),),
        description="names of LOGGERS, or package.module:Name of Lightning loggers",
    )
    callbacks: tuple[Component, ...] = Field(
        (),
        description="package.module:Name of Lightning callbacks",
    )
    kernels: Literal["auto", "reference"] = Field(
        "auto",
        description="how losses are computed: by kernels wherever one applies, or by the formulas beside them",
    )
    baseline: str | None = Field(
        None,
        description="'train': also train the student alone, for as many steps; 'equal-seconds': for as many steps as "
        "fit into the time that the distillation takes, measured at the start; 'both': one of each; or the folder of "
        "such a run",
    )
    baseline_steps: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="steps of the student alone where they are others than training.steps; the run's own recipe has "
        "those that equal-seconds found",
    )

    @property
    def trains_baseline(self) -> bool:
        """Whether the student alone is trained beside the distillation."""
        return self.baseline in ("train", EQUAL_SECONDS, BOTH)

    @property
    def measures_baseline(self) -> bool:
        """Whether a student alone gets the time of the distillation."""
        return self.baseline in (EQUAL_SECONDS, BOTH)

    @property
    def lacks_length(self) -> bool:
        """Whether a number of steps is to be measured."""
        return self.training.seconds is not None or self.lacks_baseline_steps

    @property
    def lacks_baseline_steps(self) -> bool:
        """Whether the steps of a student alone are to be measured."""
        return self.measures_baseline and self.baseline_steps is None

    @property
    def probe_size(self) -> Size:
        """Height and width of the images on which shapes are measured: the crops', or what stands for many sizes."""
        return self.augment.crop or (128, 128)

    @property
    def reads_bands(self) -> bool:
        """Whether anything but RGB is read, or a model chooses bands."""
        models: list[ModelSpec] = [self.student]
        if self.teacher is not None:
            models.append(self.teacher)
        return self.data.bands != 3 or any(model.bands is not None for model in models)

    @property
    def lacks_statistics(self) -> bool:
        """Whether mean and deviation of its bands are to be measured."""
        return self.reads_bands and self.data.mean is None

    @property
    def lacks_precision(self) -> bool:
        """Whether the machine decides on the precision."""
        return self.training.precision == "auto"

    @property
    def lacks_workers(self) -> bool:
        """Whether the machine decides on the loading processes."""
        return self.data.workers == "auto"

    @property
    def teacher_precision(self) -> Precision:
        """The teacher's precision: its own, or that of the training; float32 where no machine has decided yet."""
        own = "training" if self.teacher is None else self.teacher.precision
        if own != "training":
            return own
        return "32" if self.training.precision == "auto" else self.training.precision

    def images_of(self, processes: int) -> int:
        """Return how many images each of some processes reads in the whole training; very many without a length."""
        if self.training.steps is None:
            return 10**9
        return self.training.steps * self.data.batch_size // processes

    def with_precision(self, precision: Precision) -> "Recipe":
        """Return the recipe with a precision in place of ``auto``."""
        training = self.training.model_copy(update={"precision": precision})
        return self.model_copy(update={"training": training})

    def with_workers(self, workers: int) -> "Recipe":
        """Return the recipe with a number of loading processes in place of ``auto``."""
        return self.model_copy(update={"data": self.data.model_copy(update={"workers": workers})})
