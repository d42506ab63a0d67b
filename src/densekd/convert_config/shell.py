"""Reading of shell scripts as text: the commands in them, with literal variables put in. Nothing is run."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from densekd.errors import UserError
from densekd.parsers import load_text

_MAX_BYTES = 200_000
_MAX_WORD = 10_000
_ASSIGNMENT = re.compile(r"^([A-Za-z_]\w*)=(.*)$", re.DOTALL)
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|([A-Za-z_]\w*|\d|[@*#]))")
_SEPARATORS = {";", "&&", "||", "|", "&", ";;"}
_REDIRECTIONS = (">", "<", ">>")
_CONTROL = {"for", "while", "until", "if", "case", "function", "select"}
_PROGRAM = re.compile(r"(^|/)[\w.+-]+\.(py|sh)$")
_CONTINUED = re.compile(r"\\[ \t]*\n")


@dataclass(frozen=True)
class Command:
    """A command that runs a script.

    Args:
        program: the script's name, ``train_kd.py``.
        words: what stands after it.
        launcher: what stands before it.
        line: of the file, from 1; 0 on the command line.
    """

    program: str
    words: tuple[str, ...]
    launcher: tuple[str, ...]
    line: int

    @property
    def devices(self) -> int | None:
        """Processes that its launcher starts, where it says so."""
        text = " ".join(self.launcher)
        found = re.search(r"--nproc[_-]per[_-]node[= ](\d+)", text)
        return int(found[1]) if found else None


def read_script(path: Path) -> list[Command]:
    """Return the commands of a script that run Python or shell scripts.

    Raises:
        UserError: a file that is missing or no text, control flow, or substitutions around such a
            command.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such file.")
    if path.stat().st_size > _MAX_BYTES:
        raise UserError(f"{path}: larger than {_MAX_BYTES // 1000} kB, which no script of a training is.")
    try:
        text = load_text(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}).") from error
    commands: list[Command] = []
    variables: dict[str, str] = {}
    for line, content in _logical_lines(text):
        for words in _split(content, f"{path}, line {line}"):
            _note_variables(words, variables)
            command = _command(words, variables, f"{path}, line {line}", line)
            if command is not None:
                commands.append(command)
    return commands


def read_words(words: Sequence[str]) -> list[Command]:
    """Return the command that was typed, as words or as one text.

    Raises:
        UserError: as :func:`read_script`.
    """
    if len(words) == 1:
        flat = _CONTINUED.sub(" ", words[0])
        words = [word for part in _split(flat, "the command") for word in part]
    command = _command(list(words), {}, "the command", 0)
    return [] if command is None else [command]


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield each line with its continuations, and the number of the first.

    A space behind the backslash, as in HWD's page, is forgiven.
    """
    line, pending, start = 0, "", 1
    for raw in text.splitlines():
        line += 1
        if not pending:
            start = line
        stripped = raw.rstrip(" \t")
        if stripped.endswith("\\"):
            pending += stripped[:-1] + " "
            continue
        yield start, pending + raw
        pending = ""
    if pending:
        yield start, pending


def _split(content: str, where: str) -> list[list[str]]:
    """Split a line into the words of its commands."""
    lexer = shlex.shlex(content, posix=True, punctuation_chars=";&|<>")
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError as error:
        raise UserError(f"{where}: not a shell command ({error}).") from error
    commands: list[list[str]] = [[]]
    for word in words:
        if word in _SEPARATORS:
            commands.append([])
        else:
            commands[-1].append(word)
    return [command for command in commands if command]


def _note_variables(words: list[str], variables: dict[str, str]) -> None:
    """Remember assignments that are a command of their own; what is substituted stays unknown."""
    names = words[1:] if words[0] == "export" else words
    found = [_ASSIGNMENT.match(word) for word in names]
    if not all(found):
        return
    for match in found:
        assert match is not None
        value = _expanded(match[2], variables)
        known = value is not None and "`" not in value and "$(" not in value
        if known and value is not None:
            variables[match[1]] = value
        else:
            variables.pop(match[1], None)


def _command(words: list[str], variables: dict[str, str], where: str, line: int) -> Command | None:
    """Return the command that runs a script, or None for any other."""
    programs = [position for position, word in enumerate(words) if _PROGRAM.search(word)]
    if not programs or words[0] in ("echo", "cd", "#"):
        return None
    if words[0] in _CONTROL or words[0] in ("do", "then", "else"):
        raise UserError(
            f"{where}: loops and conditions are not followed; write the command itself: "
            "densekd convert-config -- python train.py ..."
        )
    first = programs[0]
    arguments: list[str] = []
    for word in words[first + 1 :]:
        if word in _REDIRECTIONS:
            break
        arguments.append(_known(word, variables, where))
    launcher = tuple(_expanded(word, variables) or word for word in words[:first])
    return Command(words[first].rpartition("/")[2], tuple(arguments), launcher, line)


def _known(word: str, variables: dict[str, str], where: str) -> str:
    """Return a word with its variables put in.

    Raises:
        UserError: a variable that is not assigned literally before, or a substitution.
    """
    if "`" in word or "$(" in word:
        raise UserError(f"{where}: '{word}' would have to be executed; write its value.")
    value = _expanded(word, variables)
    if value is None:
        raise UserError(f"{where}: '{word}' has a variable that the script does not assign literally; write its value.")
    return value


def _expanded(word: str, variables: dict[str, str]) -> str | None:
    """Return a word with its variables put in, or None where one is unknown."""
    for match in _VARIABLE.finditer(word):
        if (match[1] or match[2]) not in variables:
            return None
    value = _VARIABLE.sub(lambda match: variables[match[1] or match[2]], word)
    if len(value) > _MAX_WORD:
        return None
    return value
