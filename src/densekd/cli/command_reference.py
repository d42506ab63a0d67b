"""Reference of the command line as Markdown: every command with its arguments and options."""

import re
from typing import Any

import typer

_HEAD = """\
# Commands

Every command with its arguments and options. This file is generated: `densekd docs commands > docs/commands.md`.
`--debug`, anywhere on the line, adds the traceback to a message; `--quiet` prints nothing but warnings and errors;
`--json FILE` writes what a command found, `--json -` to the standard output and nothing else there. The last line is
the command that usually comes next. `densekd --install-completion` teaches the shell (bash, zsh, fish, PowerShell) to
complete commands and options; a new shell knows them. Exit statuses: 0 done, 1 failed or refused, 2 a wrong command or
recipe, 128 + a signal's number where one ended it."""


def command_reference(app: typer.Typer) -> str:
    """Return all commands of a command line, groups after them.

    Args:
        app: the command line.
    """
    group: Any = typer.main.get_command(app)
    blocks = [_HEAD]
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        if inner is None:
            blocks += _command(name, command)
            continue
        for sub, one in inner.items():
            blocks += _command(f"{name} {sub}", one)
    return "\n\n".join(blocks) + "\n"


def _command(name: str, command: Any) -> list[str]:
    """Return the heading, the text and the table of one command."""
    shown = [parameter for parameter in command.params if parameter.name != "help"]
    arguments = [_argument(parameter) for parameter in shown if parameter.param_type_name == "argument"]
    usage = " ".join(["densekd", name, *arguments])
    rows = [_row(parameter) for parameter in shown]
    blocks = [f"## {name}", f"`{usage}`", _joined(command.help or "")]
    if rows:
        blocks.append("\n".join(["| argument, option | default | meaning |", "|---|---|---|", *rows]))
    return blocks


def _argument(parameter: Any) -> str:
    name = (parameter.metavar or parameter.name).upper()
    name = f"{name}..." if parameter.nargs == -1 or parameter.multiple else name
    return name if parameter.required else f"[{name}]"


def _row(parameter: Any) -> str:
    """Return an argument or an option as a row."""
    if parameter.param_type_name == "argument":
        title = _argument(parameter)
    else:
        title = ", ".join(parameter.opts)
        if not parameter.is_flag:
            title += f" {(parameter.metavar or parameter.name).upper()}"
    default = parameter.default
    # A flag is off, and what has no default says so in its meaning.
    given = "" if callable(default) or default in (None, False, ()) else f"`{default}`"
    cells = (f"`{title}`", given, parameter.help or "")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _joined(text: str) -> str:
    """Return a docstring with one line for each paragraph."""
    return "\n\n".join(" ".join(part.split()) for part in re.split(r"\n\s*\n", text.strip()))
