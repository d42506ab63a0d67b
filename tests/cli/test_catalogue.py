"""The catalogue says what every loss is, and the file in docs is what it says."""

import inspect
from pathlib import Path
from typing import Literal

import pytest
from torch import nn

from densekd.cli.catalogue import catalogue
from densekd.losses import LEFT_OUT, LOSSES

FILE = Path(__file__).parents[2] / "docs" / "losses.md"


class Documented(nn.Module):
    """Match a || b: one summary
    on two lines.

    ``sum |a - b|`` as :class:`~somewhere.Thing` has it. Tap: ``logits``. Weight: 3. Cost: little.

    Args:
        one, two: both, over
            two lines.
        three: ``x`` or ``y``.

    Not for everyone. Cost: more.

    Shape:
        ``[B, C]``,
        any range.

    Raises:
        ValueError: never.
    """

    def __init__(self, one: int, two: float = 2.0, three: Literal["x", "y"] = "x") -> None:
        super().__init__()


def test_every_part_of_a_docstring() -> None:
    lines = catalogue({"documented": Documented}).splitlines()
    source = (__doc__ or "").rstrip(".")
    assert f"| [`documented`](#documented) | Match a \\|\\| b: one summary on two lines. | {source} |" in lines
    start = lines.index("## documented")
    assert lines[start : start + 18] == [
        "## documented",
        "",
        f"*{source}.*",
        "",
        "Match a || b: one summary",
        "on two lines.",
        "",
        "`sum |a - b|` as `somewhere.Thing` has it. **Tap**: `logits`. **Weight**: 3. **Cost**: little.",
        "",
        "- `one, two=2.0`: both, over two lines.",
        "- `three='x'`: `x` or `y`.",
        "",
        "Not for everyone. **Cost**: more.",
        "",
        "**Shape**: `[B, C]`, any range.",
        "",
        "## Left out",
        "",
    ]


def section_of(name: str) -> str:
    """Return what the catalogue says of one loss."""
    _, _, section = catalogue().partition(f"\n## {name}\n")
    return section.partition("\n## ")[0]


def test_what_is_left_out_is_said_with_a_reason() -> None:
    _, _, section = catalogue().partition("\n## Left out\n")
    assert {"ab", "ofd", "ft", "rkd", "segdistill.history.*"} == set(LEFT_OUT)
    assert not set(LEFT_OUT) & set(LOSSES)
    assert all(f"\n- `{name}`: {reason}.\n" in section for name, reason in LEFT_OUT.items())


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_has_its_section(name: str) -> None:
    section = section_of(name)
    assert "``" not in section
    assert ":class:" not in section
    assert "**Shape**: " in section
    documented = section.count("\n- `")
    given = inspect.signature(LOSSES[name]).parameters
    # A loss without constructor shows the open signature of nn.Module.
    parameters = [n for n, p in given.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    assert bool(documented) == bool(parameters)
    assert all(parameter in section for parameter in parameters)


@pytest.mark.skipif(not FILE.exists(), reason="docs/losses.md is generated once every loss is there")
def test_the_file_is_the_catalogue() -> None:
    assert FILE.read_text(encoding="utf-8") == catalogue(), "densekd docs losses > docs/losses.md"
