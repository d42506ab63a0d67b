"""A file or a command becomes a recipe: which system it is, its reader, and the recipe's own check."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from densekd.builders.terms import plan_terms
from densekd.convert_config.cirkd import PROGRAMS as CIRKD_PROGRAMS
from densekd.convert_config.cirkd import convert_cirkd
from densekd.convert_config.hwd import PROGRAMS as HWD_PROGRAMS
from densekd.convert_config.hwd import convert_hwd
from densekd.convert_config.openmmlab import convert_openmmlab
from densekd.convert_config.report import Report
from densekd.convert_config.shell import Command, read_script, read_words
from densekd.convert_config.torchdistiller import SCRIPT, convert_torchdistiller
from densekd.errors import RecipeError, UserError
from densekd.models import find_model
from densekd.parsers import YamlDumper
from densekd.presets.parts import Content
from densekd.recipe import parse_recipe
from densekd.registry import check_options

SYSTEMS = ("cirkd", "hwd", "torchdistiller")
_READERS: dict[str, Callable[[Command, Report], Content]] = {
    "cirkd": convert_cirkd,
    "hwd": convert_hwd,
    "torchdistiller": convert_torchdistiller,
}
_CONFIGURATIONS = (".py", ".yaml", ".yml", ".json")
_LAUNCHERS = ("train.py", "dist_train.sh", "slurm_train.sh")
# What values of unforeseen types raise where they are read.
_ODD_VALUES = (TypeError, ValueError, KeyError, IndexError, AttributeError, ArithmeticError, AssertionError)
_WIDTH = 120
_SHORT = 90


@dataclass(frozen=True)
class Converted:
    """A recipe and what is to be known of its making.

    Args:
        content: the recipe as plain data.
        report: what was assumed, and what was left.
    """

    content: Content
    report: Report

    def text(self) -> str:
        """Return the recipe as YAML, the report in its header."""
        header = "".join(f"# {line}\n" for line in self.report.lines())
        return header + yaml.dump(self.content, Dumper=_Dumper, sort_keys=False, width=_WIDTH, allow_unicode=True)


class _Dumper(YamlDumper):
    """YAML with short lists and innermost mappings on one line, and without aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write a value that occurs twice twice."""
        return True


def _represent_list(dumper: _Dumper, value: list[Any]) -> yaml.Node:
    flat = not any(isinstance(part, (dict, list)) for part in value)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=flat)


def _represent_mapping(dumper: _Dumper, value: Content) -> yaml.Node:
    flat = not any(isinstance(part, (dict, list)) for part in value.values()) and len(str(value)) < _SHORT
    return dumper.represent_mapping("tag:yaml.org,2002:map", value.items(), flow_style=flat)


_Dumper.add_representer(list, _represent_list)
_Dumper.add_representer(dict, _represent_mapping)


def convert_file(
    path: Path,
    gpus: int | None = None,
    images: int | None = None,
    system: str | None = None,
    pick: int | None = None,
) -> Converted:
    """Convert a configuration, or a command of a shell script.

    Args:
        path: ``.py``, ``.yaml``, ``.yml``, ``.json`` of OpenMMLab's family, or ``.sh``.
        gpus: devices of the original, where it does not say them.
        images: of an epoch, for data of one's own.
        system: one of ``SYSTEMS``, where a command could be several's.
        pick: which command of a script, from 1.

    Raises:
        UserError: what cannot be read; RecipeError: what would be no recipe.
    """
    if not path.is_file():
        raise UserError(
            f"{path}: there is no such file. A command is written after --: densekd convert-config -- python ..."
        )
    if path.suffix in _CONFIGURATIONS:
        report = Report(path.name)
        return _checked(lambda: convert_openmmlab(path, report, gpus, images), report)
    if path.suffix not in (".sh", ".bash", ".txt", ""):
        raise UserError(f"{path}: a configuration (.py, .yaml, .json) or a shell script (.sh) can be converted.")
    return _convert_commands(read_script(path), path.name, gpus, images, system, pick)


def convert_command(
    words: Sequence[str],
    gpus: int | None = None,
    images: int | None = None,
    system: str | None = None,
) -> Converted:
    """Convert a command as it is typed; the arguments are those of :func:`convert_file`.

    Raises:
        UserError: as :func:`convert_file`.
    """
    return _convert_commands(read_words(words), "the command", gpus, images, system, None)


def _convert_commands(
    commands: list[Command],
    source: str,
    gpus: int | None,
    images: int | None,
    system: str | None,
    pick: int | None,
) -> Converted:
    known = [command for command in commands if _reader_of(command, system) is not None or _is_launch(command)]
    if not known:
        names = ", ".join(dict.fromkeys(command.program for command in commands)) or "none"
        raise UserError(
            f"{source}: no command of CIRKD, HWD, TorchDistiller or OpenMMLab's train.py (scripts found: {names}). "
            "A trainer of another name: --system says whose it is."
        )
    position = pick or 1
    if not 1 <= position <= len(known):
        raise UserError(f"{source}: it has {len(known)} commands, and --pick {position} is none of them.")
    command = known[position - 1]
    place = f"{source}, line {command.line}" if command.line else source
    report = Report(f"{place}: {command.program}")
    if len(known) > 1 and pick is None:
        lines = ", ".join(f"{number} (line {other.line})" for number, other in enumerate(known, 1))
        report.assume(f"the script has {len(known)} commands, {lines}: the first was converted; --pick N takes another")
    if _is_launch(command):
        return _convert_launch(command, report, gpus, images)
    reader = _reader_of(command, system)
    assert reader is not None
    if gpus is not None:
        command = Command(command.program, command.words, (f"--nproc_per_node={gpus}",), command.line)
    return _checked(lambda: reader(command, report), report)


def _reader_of(command: Command, system: str | None) -> Callable[[Command, Report], Content] | None:
    """Return the reader of a command, by its script and by what only one system's script takes."""
    if system is not None:
        return _READERS[system]
    flags = {word.partition("=")[0].replace("_", "-") for word in command.words if word.startswith("--")}
    if command.program == SCRIPT or (command.program == "train.py" and flags & {"--cwd", "--norm-type", "--lr-g"}):
        return convert_torchdistiller
    is_cirkd, is_hwd = command.program in CIRKD_PROGRAMS, command.program in HWD_PROGRAMS
    if is_cirkd and is_hwd:
        # HWD's data is in its settings.py, and CIRKD's on the command line.
        is_hwd = "--data" not in flags
        return convert_hwd if is_hwd else convert_cirkd
    if is_cirkd:
        return convert_cirkd
    return convert_hwd if is_hwd else None


def _is_launch(command: Command) -> bool:
    """Whether a command trains a configuration: tools/train.py CONFIG, tools/dist_train.sh CONFIG 8."""
    names_config = bool(command.words) and command.words[0].endswith(_CONFIGURATIONS)
    return command.program in _LAUNCHERS and names_config


def _convert_launch(command: Command, report: Report, gpus: int | None, images: int | None) -> Converted:
    """Convert the configuration that a command trains, with its changes."""
    words = list(command.words)
    devices = command.devices
    if command.program == "dist_train.sh" and len(words) > 1 and words[1].isdigit():
        devices = int(words[1])
    if command.program == "train.py" and devices is None:
        devices = 1
    options: list[str] = []
    for flag in ("--cfg-options", "--options"):
        if flag in words:
            rest = words[words.index(flag) + 1 :]
            ends = [position for position, word in enumerate(rest) if word.startswith("--")]
            options += rest[: ends[0] if ends else len(rest)]
    report = Report(f"{report.source} {words[0]}", report.assumed, report.left)
    devices = gpus or devices
    converted = _checked(lambda: convert_openmmlab(Path(words[0]), report, devices, images, options), report)
    if "--amp" in words:
        converted.content["training"]["precision"] = "bf16"
    return converted


def _checked(read: Callable[[], Content], report: Report) -> Converted:
    """Read the original, and check that the result is a recipe whose names and options exist.

    Raises:
        UserError: values of other types than the project's own files have.
        RecipeError: the result is no recipe, for which the original's values are to blame.
    """
    try:
        content = _plain(read())
    except _ODD_VALUES as error:
        raise UserError(
            f"{report.source}: a setting has another form than in the project's own files "
            f"({type(error).__name__}: {error}); --debug shows which."
        ) from error
    # All of them train in float32 unless they say otherwise.
    content["training"].setdefault("precision", 32)
    try:
        recipe = parse_recipe(content, report.source)
        plan_terms(recipe)
        _check_student(content["student"])
    except RecipeError as error:
        raise RecipeError(f"{error}\nThe values come from {report.source}, and as they are make no recipe.") from error
    return Converted(content, report)


def _check_student(student: Content) -> None:
    """Check the options of the student's model; ``input`` is every model's."""
    options = {key: value for key, value in student["options"].items() if key != "input"}
    check_options(find_model(student["model"]), options, {"num_classes": 1}, "student.options")


def _plain(value: Any) -> Any:
    """Return data as YAML writes it: tuples are lists."""
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value
