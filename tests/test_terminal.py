"""The terminal shows names as they are: no markup, no escape sequences, in any encoding, with or without a reader."""

import ast
import logging
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from forked import run_command
from rich.table import Table
from rich.text import Text

import densekd
from densekd.terminal import Terminal, be_quiet, clock, logger, track, visible, write_document

PACKAGE = Path(densekd.__file__).parent
EVIL = "\x1b[31m[/red] \x9b31m\u202eabc\r\x07\udc80 [bold]:smile:"
SHOWN = r"\x1b[31m[/red] \x9b31m\u202eabc\r\x07\udc80 [bold]:smile:"


def printed(*things: object, **options: object) -> str:
    stream = StringIO()
    terminal = Terminal(file=stream, width=200, force_terminal=False)
    for thing in things:
        terminal.print(thing, highlight=False, soft_wrap=True)
    return stream.getvalue()


def test_visible() -> None:
    assert visible(EVIL) == SHOWN
    assert visible("a\tb\nä 図 →") == "a\tb\nä 図 →"


def test_text_tables_and_titles() -> None:
    assert printed(EVIL) == f"{SHOWN}\n"
    assert r"\x1b[31m" in printed(Text("\x1b[31m"))
    table = Table(EVIL, title=EVIL)
    table.add_row(EVIL)
    found = printed(table)
    assert found.count(SHOWN) == 3
    # What stands right of a name is where it would be without its characters.
    lines = [line for line in found.splitlines() if line[0] in "┏┃│└┡"]
    assert len({len(line) for line in lines}) == 1


def test_colors_are_our_own() -> None:
    stream = StringIO()
    Terminal(file=stream, force_terminal=True, color_system="standard").print(
        "\x1b[31mred", style="yellow", highlight=False
    )
    assert stream.getvalue() == "\x1b[33m\\x1b[31mred\x1b[0m\n"


def test_log_messages(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        logger().warning("%s: odd", "\x1b[2J")
    assert caplog.messages == [r"\x1b[2J: odd"]


# Where text is written otherwise, and why that is no way for names: constants of a signal's handler, the room itself.
ALLOWED = {"terminal.py", "stopping.py"}
# Columns of rich's bars that take markup unless they are told not to.
MARKUP = {"TextColumn"}


def _other_ways(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in ("print", "Console", "rich.print", "rprint", "typer.echo", "click.echo", "typer.secho"):
                found.append(called)
            if called in ("sys.stdout.write", "sys.stderr.write", "logging.getLogger", "traceback.print_exc"):
                found.append(called)
            if called in MARKUP and "markup" not in [keyword.arg for keyword in node.keywords]:
                found.append(called)
            if any(keyword.arg == "markup" and ast.unparse(keyword.value) == "True" for keyword in node.keywords):
                found.append("markup=True")
        if isinstance(node, ast.ImportFrom) and node.module in ("rich", "rich.markup"):
            found.append(f"import of {node.module}")
        if isinstance(node, ast.ImportFrom) and node.module == "rich.progress":
            found += [alias.name for alias in node.names if alias.name == "track"]
    return found


def test_there_is_one_way_to_the_terminal() -> None:
    for path in PACKAGE.rglob("*.py"):
        ways = _other_ways(path)
        if path.name in ("quiet.py", "lean_imports.py") or path.parts[-3:] == ("tasks", "detection", "metric.py"):
            # Levels of libraries' loggers, the one of a library itself, and one that is told to be silent.
            ways = [way for way in ways if way != "logging.getLogger"]
        assert path.name in ALLOWED or not ways, f"{path}: {ways}; use densekd.terminal"


def test_the_walk_sees_other_ways(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("from rich.progress import track\nprint(1)\nConsole()\nsys.stderr.write('a')\nTextColumn('a')\n")
    assert sorted(_other_ways(path)) == ["Console", "TextColumn", "print", "sys.stderr.write", "track"]


def run(line: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    command = line.replace("densekd", f"{sys.executable} -m densekd")
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, cwd=folder, env=environment, check=False,
        encoding="latin-1",
    )  # fmt: skip


def test_other_encodings_of_terminals(tmp_path: Path) -> None:
    done = run("densekd losses", tmp_path, PYTHONIOENCODING="latin-1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "cwd" in done.stdout


def test_a_reader_that_leaves(tmp_path: Path) -> None:
    for command in ("losses", "recipes gfl-r101-r50-ld --write"):
        done = run(f"densekd {command} | head -1", tmp_path)
        assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "", 1)


def test_names_in_errors_and_tracebacks(tmp_path: Path) -> None:
    for name, options in ((r"$'a\e[31mb.yaml'", ""), (r"'a\[/x].yaml'", ""), (r"$'no\e[31msuch'", " --debug")):
        done = run(f"densekd train {name}{options}", tmp_path)
        assert done.returncode != 0
        assert "\x1b" not in done.stderr + done.stdout
        assert "MarkupError" not in done.stderr
    assert r"no\x1b[31msuch" in done.stderr


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    done = run(f"rmdir {folder}; densekd losses", folder)
    assert done.returncode == 1
    assert done.stderr == "error: The current folder was removed; change into one that is there (cd).\n"


def test_quiet_leaves_warnings_and_documents(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DENSEKD_QUIET", "")
    be_quiet()
    Terminal().print("found 3 pictures")
    Terminal().print("warning: one is empty", style="yellow", highlight=False)
    write_document("{}\n")
    assert list(track([1, 2], "reading")) == [1, 2]
    printed = capsys.readouterr()
    assert printed.out == "{}\n"
    assert printed.err == "warning: one is empty\n"


def test_quiet_anywhere_on_the_line(tmp_path: Path) -> None:
    for words in (["--quiet", "losses"], ["losses", "--quiet"]):
        done = run_command(*words, cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_shells_complete_commands(tmp_path: Path) -> None:
    done = run("densekd", tmp_path, _DENSEKD_COMPLETE="complete_bash", COMP_WORDS="densekd ev", COMP_CWORD="1")
    assert done.stdout.split() == ["evaluate"]
    assert "--install-completion" in run_command("--help", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("seconds", "shown"), [(7.4, "0:07"), (270, "4:30"), (3900, "1:05:00"), (172_799, "47:59:59"), (274_000, "3 d 4 h")]
)
def test_durations(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown
