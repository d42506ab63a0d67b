import enum
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
import torch
from annotated_types import Ge, Gt, Interval, MinLen, MultipleOf
from pydantic import AfterValidator, Field, ValidationError
from torch import nn

from densekd.errors import RecipeError
from densekd.losses import LOSSES
from densekd.models import MODELS
from densekd.registry import check_options, construct
from densekd.signature import describe_arguments, expected, json_schema, read_options, validate_options

if TYPE_CHECKING:
    from somewhere import Something  # type: ignore[import-not-found]


class Mode(enum.Enum):
    FAST = "fast"


@dataclass(frozen=True)
class Weights:
    """Factors of two summands.

    Args:
        feature: of the features.
        mask: of the masks.
    """

    feature: Annotated[float, Ge(0)] = 1.0
    mask: float = 2.0


def odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("an odd number of pixels")
    return value


class Everything:
    """A class with every kind of option.

    Args:
        temperature: T > 0,
            of both.
        levels, side: two numbers.

    That is all.

    Raises:
        ValueError: never.
    """

    def __init__(
        self,
        temperature: Annotated[float, Gt(0)] = 1.0,
        levels: int = 3,
        side: Annotated[int, AfterValidator(odd)] = 3,
        on: bool = False,
        size: tuple[int, int] | None = None,
        sizes: tuple[int, ...] = (),
        channels: int | tuple[int, int] = 8,
        kind: Literal["a", "b"] = "a",
        weights: Weights = Weights(),
        maybe: Weights | None = None,
        factors: Sequence[Annotated[float, Ge(0)]] = (1.0,),
        share: Annotated[float, Interval(ge=0, lt=1)] = 0.5,
        some: Annotated[tuple[str, ...], MinLen(1)] = ("x",),
        names: Mapping[str, int] | None = None,
        folder: Path | None = None,
        mode: Mode = Mode.FAST,
        untyped=3,  # type: ignore[no-untyped-def]
        module: nn.Module | None = None,
        call: Callable[[int], int] | None = None,
        **more: Any,
    ) -> None:
        self.given = locals()


def given(**options: Any) -> dict[str, Any]:
    built = construct(Everything, options, {}, "distill.0.options").given
    return {name: built[name] for name in options}


@pytest.mark.parametrize(
    ("options", "passed"),
    [
        ({"temperature": 4}, {"temperature": 4.0}),
        ({"size": [1, 2], "sizes": [1, 2, 3]}, {"size": (1, 2), "sizes": (1, 2, 3)}),
        ({"channels": 4}, {"channels": 4}),
        ({"channels": [4, 2]}, {"channels": (4, 2)}),
        ({"size": None}, {"size": None}),
        ({"weights": {"feature": 3}}, {"weights": Weights(3.0, 2.0)}),
        ({"weights": Weights(3.0), "maybe": {}}, {"weights": Weights(3.0), "maybe": Weights()}),
        ({"factors": [1, 2.5]}, {"factors": [1.0, 2.5]}),
        ({"names": {"a": 1}}, {"names": {"a": 1}}),
        ({"folder": "here", "mode": "fast"}, {"folder": Path("here"), "mode": Mode.FAST}),
        ({"untyped": [object], "call": len}, {"untyped": [object], "call": len}),
        ({"module": 3}, {"module": 3}),
    ],
)
def test_options_arrive_as_their_annotation_says(options: dict[str, Any], passed: dict[str, Any]) -> None:
    assert given(**options) == passed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": "4"}, ".temperature: a number greater than 0, got '4'."),
        ({"temperature": 0}, ".temperature: a number greater than 0, got 0."),
        ({"temperature": True}, ".temperature: a number greater than 0, got true."),
        ({"temperature": None}, ".temperature: a number greater than 0, got null."),
        ({"temperature": float("inf")}, ".temperature: a number greater than 0, got inf."),
        ({"levels": 12.5}, ".levels: an integer, got 12.5."),
        ({"levels": 4.0}, ".levels: an integer, got 4.0."),
        ({"levels": True}, ".levels: an integer, got true."),
        ({"on": 1}, ".on: true or false, got 1."),
        ({"side": 4}, ".side: an odd number of pixels, got 4."),
        ({"size": [1]}, ".size: a list of 2 integers or null, got [1]."),
        ({"sizes": 3}, ".sizes: a list of integers, got 3."),
        ({"channels": [4, 2, 1]}, ".channels: an integer or a list of 2 integers, got [4, 2, 1]."),
        ({"kind": "c"}, ".kind: one of a, b, got 'c'."),
        ({"weights": 3}, ".weights: a mapping of feature, mask, got 3."),
        ({"weights": {"feature": -1}}, ".weights.feature: a number of at least 0, got -1."),
        ({"maybe": {"mask": "2"}}, ".maybe.mask: a number, got '2'."),
        ({"maybe": {"masks": 2}}, ".maybe: unknown option 'masks'. Did you mean 'mask'? Known: feature, mask."),
        ({"factors": [1, -1]}, ".factors: a list of numbers of at least 0, got [1, -1]."),
        ({"factors": "12"}, ".factors: a list of numbers of at least 0, got '12'."),
        ({"share": 1}, ".share: a number of at least 0 and less than 1, got 1."),
        ({"some": []}, ".some: a list of strings with at least 1, got []."),
        ({"names": {"a": "b"}}, ".names: a mapping or null, got {'a': 'b'}."),
    ],
)
def test_one_line_says_where_and_what(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as error:
        given(**options)
    assert str(error.value) == f"distill.0.options{message}"


def test_all_wrong_options_are_reported_together() -> None:
    with pytest.raises(RecipeError) as error:
        given(temperature="4", levels="5", tempreature=1)
    lines = str(error.value).split("\n")
    assert [line.partition(",")[0] for line in lines[:2]] == [
        "distill.0.options.temperature: a number greater than 0",
        "distill.0.options.levels: an integer",
    ]
    assert lines[2].startswith("distill.0.options: unknown option 'tempreature'. Did you mean 'temperature'? Known: ")


def test_supplied_options_are_neither_set_nor_asked_for() -> None:
    def loss(num_classes: int, temperature: float) -> None: ...

    assert check_options(loss, {"temperature": 2}, {"num_classes": "not read"}, "here") == {"temperature": 2.0}
    with pytest.raises(RecipeError, match=r"^here: missing option temperature\. Known: temperature\.$"):
        check_options(loss, {}, {"num_classes": 3}, "here")


def test_an_annotation_that_cannot_be_evaluated_is_not_checked() -> None:
    def loss(one: "Something", two: "Callable[..., Any]") -> tuple[Any, Any]:
        return one, two

    assert construct(loss, {"one": 1, "two": 2}, {}, "here") == (1, 2)


def test_a_partial_has_the_options_that_are_left() -> None:
    def model(name: str, classes: int, depth: int = 3) -> tuple[str, int, int]:
        """Build.

        Args:
            name: first.
            classes: second.
            depth: third.
        """
        return name, classes, depth

    options = read_options(partial(model, "x"))
    assert list(options) == ["classes", "depth"]
    assert options["depth"].description == "third."
    assert construct(partial(model, "x"), {"depth": 4}, {"classes": 2}, "here") == ("x", 2, 4)


def test_the_docstring_describes_the_options() -> None:
    assert describe_arguments(inspect.getdoc(Everything) or "") == {
        "temperature": "T > 0, of both.",
        "levels": "two numbers.",
        "side": "two numbers.",
    }
    assert describe_arguments("Nothing.") == {}


def test_the_schema_has_descriptions_and_defaults() -> None:
    schema = json_schema(read_options(Everything))
    assert schema["additionalProperties"] is False
    temperature = schema["properties"]["temperature"]
    assert (temperature["type"], temperature["exclusiveMinimum"], temperature["default"]) == ("number", 0, 1.0)
    assert temperature["description"] == "T > 0, of both."
    assert schema["properties"]["kind"]["enum"] == ["a", "b"]
    assert schema["$defs"]["Weights"]["properties"]["mask"]["default"] == 2.0
    assert "required" not in schema
    assert json_schema(read_options(odd))["required"] == ["value"]


@pytest.mark.parametrize("factory", [*LOSSES.values(), *MODELS.values()], ids=lambda f: str(f.__name__))
def test_every_loss_and_model_has_a_schema_of_types(factory: Callable[..., Any]) -> None:
    schema = json_schema(read_options(factory))
    for name, option in schema["properties"].items():
        assert {"type", "enum", "anyOf", "$ref"} & set(option), f"{name} has no type"


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (Annotated[int, Field(ge=1, le=3)], "an integer of at least 1 and of at most 3"),
        (Annotated[int, MultipleOf(8)], "an integer that is a multiple of 8"),
        (tuple[int, str], "a list of an integer, a string"),
        (tuple, "a list"),
        (tuple[tuple[int, int], ...], "a list of lists of 2 integers"),
        (torch.dtype, "a dtype"),
    ],
)
def test_what_is_expected(annotation: Any, words: str) -> None:
    assert expected(annotation) == words


def test_defaults_are_not_checked() -> None:
    def loss(number: int = "many") -> Any:  # type: ignore[assignment]
        return number

    assert construct(loss, {}, {}, "here") == "many"
    with pytest.raises(ValidationError):
        validate_options(read_options(loss), {"number": "many"})
