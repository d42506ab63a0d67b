"""Base of the sections of a recipe, and the types that several of them use."""

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

# Of a training or of a teacher's forward pass; all but 32 are mixed.
Precision = Literal["32", "bf16", "fp16"]
Shape = Literal["linear", "exponential", "jump"]
# Pixels; what a model sees at once has no more on a side.
Side = Annotated[int, Field(gt=0, le=32_768)]
Size = tuple[Side, Side]
Positive = Annotated[float, Field(gt=0)]
# Factor on the size of an image.
Scale = Annotated[float, Field(gt=0, le=100)]
Factor = Annotated[float, Field(ge=0)]
# A name or a sentence that fits a line.
Line = Annotated[str, Field(min_length=1, max_length=300, pattern=r"^[^\r\n]+$")]
Share = Annotated[float, Field(ge=0, lt=1)]
Options = dict[str, Any]
# How many bands images have, or the numbers of those that are read.
Bands = PositiveInt | tuple[PositiveInt, ...]


def _bits(value: Any) -> Any:
    """Let a number of bits be written without quotes: ``precision: 32``."""
    return str(value) if isinstance(value, int) else value


def bits(written: Any) -> BeforeValidator:
    """Return what reads a precision as people write it, numbers without quotes included.

    Args:
        written: the type of what may be written, for the schema.
    """
    return BeforeValidator(_bits, json_schema_input_type=written)


def _on_off(value: Any) -> Any:
    """Let the words on and off be written without quotes: YAML reads them as true and false."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return value


OnOff = BeforeValidator(_on_off)


def checked_bands(value: Any) -> Any:
    """Refuse what is no number of bands and no list of their numbers.

    Raises:
        ValueError: says what may be written.
    """
    numbers = value if isinstance(value, list | tuple) else [value]
    whole = [isinstance(number, int) and not isinstance(number, bool) and number > 0 for number in numbers]
    if not whole or not all(whole):
        raise ValueError("a number of bands (1: gray, 3: RGB, 4, ...), or a list of their numbers, counted from 1")
    return value


def _mentions(annotation: Any, *kinds: Any) -> bool:
    """Return whether a field's type is one of some types, or a choice or list of them."""
    return annotation in kinds or any(_mentions(argument, *kinds) for argument in get_args(annotation))


class Section(BaseModel):
    """Frozen part of a recipe; a key that it does not have is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse true and false, and YAML's yes, on, no and off, for a number: they would be 1 and 0."""
        annotation = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and _mentions(annotation, int, float) and not _mentions(annotation, bool, Any):
            raise PydanticCustomError("truth_for_number", "true and false are no numbers")
        return value


class OpenSection(Section):
    """Section whose further keys are the arguments of a constructor, checked when it is called."""

    model_config = ConfigDict(extra="allow")

    @property
    def options(self) -> Options:
        """The keys that are not fields of the section."""
        return dict(self.model_extra or {})


class ComponentSpec(Section):
    """A row of a table and its options; without options the name alone is enough."""

    name: str = Field(description="name in its table, or package.module:Name")
    options: Options = Field(default_factory=dict, description="arguments of the constructor")


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


Component = Annotated[ComponentSpec, BeforeValidator(_named, json_schema_input_type=str | ComponentSpec)]
