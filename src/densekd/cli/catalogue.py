"""The catalogue of losses as Markdown, made from their docstrings: ``docs/losses.md``."""

import inspect
import re
from collections.abc import Mapping
from textwrap import dedent

from torch import nn

from densekd.losses import LEFT_OUT, LOSSES, MEMORY_EFFICIENT

_HEAD = """\
# Losses

Every method of `densekd`, as its own docstring says it. This file is generated:
`python -m densekd.cli.catalogue > docs/losses.md`.

A loss takes `(student, teacher, target)` and returns one unweighted scalar; weight, taps, adapter and resizing belong
to the term of a recipe. `student_channels`, `teacher_channels`, `teacher_size`, `num_classes` and `ignore_index` are
measured and never written in a recipe. In the formulas B, C, H, W are the sizes of a map, T is the temperature,
KL(p || q) = sum p (log p - log q), and softmax_C or softmax_HW is taken over channels or over positions.

Forward and backward together hold at most twice the bytes of both maps beyond these, the gradient included, but for
{others}.
These also hold what their convolutions, matrix products or plain formulas give; the numbers are in
[benchmarks.md](benchmarks.md#losses)."""

_SECTION = re.compile(r"^(Args|Shape|Raises|Returns):", re.MULTILINE)
_LABEL = re.compile(r"(?<![\w*])(Tap|Weight|Cost): ?")
_ARGUMENT = re.compile(r"^ {4}(?P<names>\w+(?:, \w+)*): ", re.MULTILINE)


def catalogue(losses: Mapping[str, type[nn.Module]] = LOSSES) -> str:
    """Return the whole catalogue.

    Args:
        losses: name -> class, in the order of the table.
    """
    rows = [f"| [`{name}`](#{name}) | {_summary(loss)} | {_paper(loss)} |" for name, loss in losses.items()]
    table = "\n".join(["| name | what it matches | source |", "|---|---|---|", *rows])
    sections = [_section(name, loss) for name, loss in losses.items()]
    left_out = "\n".join(f"- `{name}`: {reason}." for name, reason in LEFT_OUT.items())
    others = ", ".join(f"`{name}`" for name in LOSSES if name not in MEMORY_EFFICIENT)
    head = "## Left out\n\nMethods of the source systems that are not here:"
    return "\n\n".join([_HEAD.format(others=others), table, *sections, head, left_out]) + "\n"


def _summary(loss: type[nn.Module]) -> str:
    return _markdown(_doc(loss).partition("\n\n")[0].replace("\n", " ")).replace("|", "\\|")


def _paper(loss: type[nn.Module]) -> str:
    """Return what the module's docstring begins with: a loss file is one paper."""
    return _markdown(_doc(inspect.getmodule(loss)).partition("\n\n")[0].replace("\n", " ").rstrip(".")).replace(
        "|", "\\|"
    )


def _section(name: str, loss: type[nn.Module]) -> str:
    """Return one loss: source, text, options with their defaults, shapes."""
    text, *pairs = _SECTION.split(_doc(loss))
    parts = dict(zip(pairs[::2], pairs[1::2], strict=True))
    blocks = [f"## {name}", f"*{_paper(loss)}.*", _LABEL.sub(r"**\1**: ", _markdown(text.strip()))]
    options = _options(loss, parts.get("Args", ""))
    if options:
        blocks.append(options)
    if "Shape" in parts:
        blocks.append("**Shape**: " + _markdown(_flat(parts["Shape"])))
    return "\n\n".join(blocks)


def _options(loss: type[nn.Module], arguments: str) -> str:
    """Return the documented arguments as a list; text that belongs to none of them follows it."""
    documented, _, rest = arguments.partition("\n\n")
    parameters = inspect.signature(loss).parameters
    _, *pairs = _ARGUMENT.split(documented.strip("\n"))
    lines = []
    for names, meaning in zip(pairs[::2], pairs[1::2], strict=True):
        shown = [n if parameters[n].default is inspect.Parameter.empty else f"{n}={parameters[n].default!r}"
                 for n in names.split(", ")]  # fmt: skip
        lines.append(f"- `{', '.join(shown)}`: {_markdown(_flat(meaning))}")
    rest = _LABEL.sub(r"**\1**: ", _markdown(dedent(rest).strip()))
    return "\n\n".join(part for part in ("\n".join(lines), rest) if part)


def _doc(thing: object) -> str:
    return inspect.cleandoc(inspect.getdoc(thing) or "")


def _flat(text: str) -> str:
    return " ".join(text.split())


def _markdown(text: str) -> str:
    """Turn double backticks and cross-references into Markdown's single backticks."""
    return re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text).replace("``", "`")


if __name__ == "__main__":
    print(catalogue(), end="")
