import json
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from densekd.doors import MODULE
from densekd.errors import RecipeError, UserError
from densekd.registry import construct, optional_import, resolve

TABLE = {"cwd": dict, "pixel": list}


def factory(temperature: float, *, reduction: str = "mean", num_classes: int = 0) -> tuple[Any, ...]:
    if temperature <= 0:
        raise ValueError(f"temperature {temperature} must be positive")
    return temperature, reduction, num_classes


def test_a_name_of_the_table() -> None:
    assert resolve("pixel", TABLE, "loss") is list


def test_a_name_of_another_package() -> None:
    assert resolve("torch.nn:Conv2d", TABLE, "loss", door=MODULE) is nn.Conv2d
    # Without a door for the user's own, only the table is known.
    with pytest.raises(RecipeError, match=r"^Unknown loss 'torch\.nn:Conv2d'\. Known: cwd, pixel\.$"):
        resolve("torch.nn:Conv2d", TABLE, "loss")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pixl", "Unknown loss 'pixl'. Did you mean 'pixel'? Known: cwd, pixel. Your own: package.module:Name."),
        ("kd", "Unknown loss 'kd'. Known: cwd, pixel. Your own: package.module:Name."),
        (
            "no_such_package:Loss",
            "The loss 'no_such_package:Loss' cannot be imported: No module named 'no_such_package'",
        ),
        (
            "torch.nn:Nothing",
            "The loss 'torch.nn:Nothing' cannot be imported: module 'torch.nn' has no",
        ),
        ("torch:pi", "The loss 'torch:pi' is a float, not a class or function."),
        ("math:pi", "The loss 'math:pi' is Python's own, and nothing there is a loss; name an nn.Module class"),
        ("os.path:join", "The loss 'os.path:join' is Python's own"),
        ("torch:load", "The loss 'torch:load' was not called: it has to be an nn.Module class, or a function that"),
        ("torch:add", "The loss 'torch:add' was not called"),
        (":Loss", "The loss ':Loss' cannot be imported: Empty module name."),
        (".mine:Loss", "The loss '.mine:Loss' cannot be imported: the 'package' argument is required"),
        ("torch:", "The loss 'torch:' cannot be imported: "),
    ],
)
def test_a_name_that_means_nothing(name: str, message: str) -> None:
    with pytest.raises(RecipeError) as error:
        resolve(name, TABLE, "loss", door=MODULE)
    assert str(error.value).startswith(message)


def test_an_optional_library() -> None:
    assert optional_import("json", "extra") is json
    with pytest.raises(UserError, match=r"needs no_such_library, .*: pip install 'densekd\[extra\]'"):
        optional_import("no_such_library", "extra")


def test_options_and_what_the_build_knows_meet_in_the_signature() -> None:
    supplied = {"num_classes": 11, "student_channels": 8}
    assert construct(factory, {"temperature": 2}, supplied, "distill.0") == (2, "mean", 11)
    assert construct(factory, {"temperature": 2, "reduction": "sum"}, {}, "distill.0") == (2, "sum", 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"temperatur": 2},
            "here: unknown option 'temperatur'. Did you mean 'temperature'? Known: reduction, temperature.",
        ),
        ({"x": 2}, "here: unknown option 'x'. Known: reduction, temperature."),
        (
            {"temperature": 2, "num_classes": 3},
            "here: 'num_classes' is measured from the models and data; remove it from the options.",
        ),
        ({"reduction": "sum"}, "here: missing option temperature. Known: reduction, temperature."),
        ({"temperature": 0}, "here: temperature 0.0 must be positive"),
        ({"temperature": "hot"}, "here.temperature: a number, got 'hot'."),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as error:
        construct(factory, options, {"num_classes": 11}, "here")
    assert str(error.value) == message


def test_a_module_with_a_mistake_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "densekd_mistaken.py").write_text("def Loss(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RecipeError, match=r"'densekd_mistaken:Loss' cannot be imported: .*mistaken\.py, line 1"):
        resolve("densekd_mistaken:Loss", TABLE, "loss", door=MODULE)


def test_several_missing_options_are_named_together() -> None:
    def pair(first: int, second: int) -> None: ...

    with pytest.raises(RecipeError, match=r"^here: missing option first, second\. Known: first, second\.$"):
        construct(pair, {}, {}, "here")
