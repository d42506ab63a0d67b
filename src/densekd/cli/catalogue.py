"""Catalogue of losses as Markdown, made from their docstrings: ``docs/losses.md``."""

import inspect
import re
from collections.abc import Mapping
from textwrap import dedent

from torch import nn

from densekd.losses import LEFT_OUT, LOSSES, MEMORY_EFFICIENT
from densekd.signature import argument_entries, docstring_sections, summary

_HEAD = """\
# Losses

Every method of `densekd`, as its own docstring says it. This file is generated:
`densekd docs losses > docs/losses.md`.

A loss takes `(student, teacher, target)` and returns one unweighted scalar; weight, taps, adapter and resizing belong
to the term of a recipe. `student_channels`, `teacher_channels`, `teacher_size`, `num_classes` and `ignore_index` are
measured and never written in a recipe. Void pixels are never learnt from labels, but most losses compare both models
there as well: whatever says `target: ignored`, and `pixel` and `hwd` by default. `dkd`, `wsld`, `ifvd` and
`cirkd_memory` leave void pixels out, as does `pixel` with `void: masked`; `hwd` with a `pixel_division` does not count
them. In the formulas B, C, H, W are the sizes of a map, T is the temperature,
KL(p || q) = sum p (log p - log q), and softmax_C or softmax_HW is taken over channels or over positions.

Forward and backward together hold at most twice the bytes of both maps beyond these, the gradient included, but for
{others}.
These also hold what their convolutions, matrix products or plain formulas give; the numbers are in
[benchmarks.md](benchmarks.md#losses)."""

_LABEL = re.compile(r"(?<![\w*])(Tap|Weight|Cost): ?")


def catalogue(losses: Mapping[str, type[nn.Module]] = LOSSES) -> str:
    """Return the whole catalogue.

    Args:
        losses: name -> class, in the order of the table.
    """
    others = ", ".join(f"`{name}`" for name in LOSSES if name not in MEMORY_EFFICIENT)
    rows = ["| name | what it matches | source |", "|---|---|---|"]
    sections = []
    for name, loss in losses.items():
        what, paper = (markdown(text).replace("|", "\\|") for text in (summary(loss), _paper(loss)))
        rows.append(f"| [`{name}`](#{name.replace('.', '')}) | {what} | {paper} |")
        sections.append(loss_section(name, loss))
    left_out = ["## Left out", "Methods of the source systems that are not here:"]
    left_out.append("\n".join(f"- `{name}`: {reason}." for name, reason in LEFT_OUT.items()))
    return "\n\n".join([_HEAD.format(others=others), "\n".join(rows), *sections, *left_out]) + "\n"


def loss_section(name: str, loss: type[nn.Module]) -> str:
    """Return one loss as Markdown: source, text, options with their defaults, shapes."""
    text, parts = docstring_sections(inspect.getdoc(loss) or "")
    paper = markdown(_paper(loss)).replace("|", "\\|")
    blocks = [f"## {name}", f"*{paper}.*", _bold_labels(markdown(text))]
    blocks += _options(loss, parts.get("Args", ""))
    if "Shape" in parts:
        blocks.append("**Shape**: " + markdown(" ".join(parts["Shape"].split())))
    return "\n\n".join(blocks)


def markdown(text: str) -> str:
    """Turn double backticks and cross-references into Markdown's single backticks."""
    return re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text).replace("``", "`")


def _paper(loss: type[nn.Module]) -> str:
    """Return what the module's docstring begins with: a loss file is one paper."""
    docstring = inspect.getdoc(inspect.getmodule(loss)) or ""
    return " ".join(docstring.partition("\n\n")[0].split()).rstrip(".")


def _options(loss: type[nn.Module], arguments: str) -> list[str]:
    """Return the documented arguments as a list, and the text that belongs to none of them."""
    parameters = inspect.signature(loss).parameters
    lines = []
    for names, meaning in argument_entries(arguments):
        shown = []
        for name in names.split(", "):
            default = parameters[name].default
            shown.append(name if default is inspect.Parameter.empty else f"{name}={default!r}")
        lines.append(f"- `{', '.join(shown)}`: {markdown(meaning)}")
    # What follows the list after a blank line.
    rest = dedent(arguments.partition("\n\n")[2]).strip()
    blocks = ["\n".join(lines), _bold_labels(markdown(rest))]
    return [block for block in blocks if block]


def _bold_labels(text: str) -> str:
    return _LABEL.sub(r"**\1**: ", text)
