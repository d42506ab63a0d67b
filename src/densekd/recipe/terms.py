"""Section of the distillation terms: loss, taps, adapter, weight."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from densekd.braces import expand_list, fan_out
from densekd.errors import RecipeError
from densekd.recipe.base import Component, ComponentSpec, Factor, Options, Section, Shape

Tap = str | Annotated[tuple[str, ...], Field(min_length=1)]


class WeightSpec(Section):
    """Loss weight over the steps."""

    value: float = Field(ge=0, description="the weight between warm-up and decay")
    warmup: int = Field(0, ge=0, description="steps of warm-up")
    warmup_shape: Shape = Field("linear", description="of the warm-up; jump: 0 until its end")
    decay: tuple[int, int] | None = Field(None, description="first and last step of the decay")
    decay_shape: Shape = Field("linear", description="of the decay; jump: 0 from its start")


def _number(value: Any) -> Any:
    return value if isinstance(value, dict | WeightSpec) else {"value": value}


Weight = Annotated[WeightSpec, BeforeValidator(_number, json_schema_input_type=Factor | WeightSpec)]


class TermSpec(Section):
    """One distillation term."""

    method: str = Field(description="name of LOSSES or package.module:Name")
    weight: Weight = Field(description="a number, or value with warmup and decay")
    options: Options = Field(default_factory=dict, description="arguments of the loss")
    student: Tap = Field(
        "logits",
        description="tap, or a list for one loss; braces make one term each (features.{0,1,2,3}), in a list more taps",
    )
    teacher: Tap = Field(
        "logits",
        description="tap, or a list; braces expand in step with the student's",
    )
    adapter: Component = Field(
        ComponentSpec(name="none"),
        description="learned, on the student's tap: name of ADAPTERS or package.module:Name, or "
        "name and options; all terms on one tap share its graph-context",
    )
    through: Tap | None = Field(
        None,
        description="rest of the teacher's head that the adapted tensor is sent through, with "
        "gradient, before it is compared (SimKD, CrossKD): a module of the teacher, head[3], or "
        "several, [head.tower.{2,3}, head.cls]",
    )
    resize_to: Literal["none", "teacher", "student", "label"] = Field(
        "none",
        description="whose height and width the maps are compared at; label: both are resized to that of the labels",
    )

    @field_validator("student", "teacher", "through")
    @classmethod
    def _expand_lists(cls, value: Tap | None) -> Tap | None:
        return expand_list(value) if isinstance(value, tuple) else value

    @model_validator(mode="after")
    def _as_many_taps(self) -> "TermSpec":
        if self.through is not None:
            if not isinstance(self.teacher, str):
                raise ValueError("with through the teacher has one tap, that of what comes out of its head")
            return self
        students = 0 if isinstance(self.student, str) else len(self.student)
        teachers = 0 if isinstance(self.teacher, str) else len(self.teacher)
        if students != teachers:
            raise ValueError("student and teacher are lists of as many taps, or neither is a list")
        return self

    def fan_out(self) -> list["TermSpec"]:
        """Return one spec for each choice of braces, paired over the keys; lists stay whole.

        Raises:
            RecipeError: braces of different numbers of choices.
        """
        try:
            choices = fan_out(self.student, self.teacher, self.through or ())
        except ValueError as error:
            raise RecipeError(str(error)) from error
        terms = []
        for student, teacher, through in choices:
            chosen = {"student": student, "teacher": teacher, "through": through or None}
            terms.append(self.model_copy(update=chosen))
        return terms
