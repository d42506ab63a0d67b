"""Sections of the two models: student, teacher, and the teacher's cache."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from densekd.recipe.base import Line, Options, Section, bits


class ModelSpec(Section):
    """What a model is and where its weights come from."""

    model: str | None = Field(
        None,
        description="name of MODELS, hf:/timm:/smp:/torchvision:NAME or package.module:Name; a package has its own",
    )
    options: Options = Field(default_factory=dict, description="arguments of the builder")
    pretrained: str | None = Field(
        None,
        description="backbone weights: timm hub name, local file or URL",
    )
    checkpoint: str | None = Field(
        None,
        description="all weights: package, run folder, .safetensors, .ckpt, .pth, or a file's "
        "URL; FILE#ema, #teacher or #PREFIX takes that part of it; a teacher may say 'untrained'",
    )
    bands: Literal["gray"] | tuple[PositiveInt, ...] | None = Field(
        None,
        description="which of the data's bands it reads, by their numbers, from 1 (a number may come twice: "
        "[1, 1, 1] shows gray as RGB); gray: the brightness of the first three; default: all",
    )
    allow: tuple[str, ...] = Field(
        (),
        description="patterns of keys that the checkpoint may lack or have besides",
    )


class StudentSpec(ModelSpec):
    """The student, and what it begins with."""

    inherit: tuple[str, ...] = Field(
        (),
        description="parts of the teacher's name and shape whose weights it begins with: neck, head, ...",
    )
    classes: Literal["by-name", "by-number", "fine-tune"] = Field(
        "by-name",
        description="how the classes of its checkpoint are matched with the data's, where the checkpoint names them; "
        "fine-tune: they are others, the rows of the classifier whose name is shared are kept and the rest begins "
        "anew, as it does by itself where their number is another",
    )


class TeacherCacheSpec(Section):
    """Teacher features of augmented views, written once and read instead of running the teacher."""

    folder: str = Field(description="for this data, teacher and views; made where it is missing")
    views: int = Field(
        ge=1,
        description="random views of each image; passes over the images take them in turn",
    )
    dtype: Literal["fp8", "bf16", "fp32"] = Field("bf16", description="of the stored maps")
    top_k: int = Field(0, ge=0, description="classes of the logits kept at each position; 0: all")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="of the views, whatever training.seed is")


class TeacherSpec(ModelSpec):
    """The teacher, and how it is run."""

    classes: dict[str, int | str | tuple[int | str, ...]] | str | None = Field(
        None,
        description="where it tells other classes apart: for each class of the data those of the "
        "teacher that it consists of, by number, or by name where its package knows names; or the name "
        "of a class map, which is found by itself where the data is the benchmark's: cocostuff-182, "
        "cityscapes-34, ade20k-151; or by-number, where they are the same under other names. Without it, "
        "classes are matched by name",
    )
    license: Line | None = Field(
        None,
        description="of its weights, in a line; the student's package, its exports and its model card repeat it",
    )
    precision: Annotated[
        Literal["training", "32", "bf16", "fp16"], bits(Literal["training", 32, "32", "bf16", "fp16"])
    ] = Field("training", description="training: the student's")
    compile: Literal["none", "inductor"] = Field(
        "none",
        description="inductor: run by torch.compile",
    )
    cache: TeacherCacheSpec | None = Field(
        None,
        description="replay the teacher instead of running it at every step",
    )
