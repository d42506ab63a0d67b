"""Engines in environments of their own: what is missing is said, and what fails there is a refusal."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from exported_runs import make_run
from typer.testing import CliRunner

from densekd.cli.app import app
from densekd.errors import UserError
from densekd.export.engines import ENGINES
from densekd.export.engines import outside as outside_module
from densekd.export.environments import ENVIRONMENTS, set_up
from densekd.export.export import export


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Environments lie in the test's folder."""
    monkeypatch.setenv("DENSEKD_ENGINES", str(tmp_path / "engines"))
    return tmp_path / "engines"


def pretend(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make an environment whose interpreter is this one's, without installing anything."""

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        if "venv" in command:
            python = ENVIRONMENTS[name].python
            python.parent.mkdir(parents=True)
            python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
            python.chmod(0o755)
        return subprocess.CompletedProcess(command, 0)

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "run", run)
        set_up(name, print)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_without_its_environment_the_command_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"densekd export --setup {name}"):
        export(make_run(tmp_path, images=1), name)


def test_setup_is_done_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states = [ENVIRONMENTS["ncnn"].ready]
    pretend("ncnn", monkeypatch)
    states.append(ENVIRONMENTS["ncnn"].ready)
    assert states == [False, True]
    said: list[str] = []
    set_up("ncnn", said.append)
    assert "there already" in said[0]
    # Other versions are another environment.
    (folder / "ncnn" / "densekd.json").write_text('{"packages": ["ncnn==1"]}')
    assert not ENVIRONMENTS["ncnn"].ready


def test_setup_that_fails_names_the_commands(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **options: Any) -> Any:
        raise subprocess.CalledProcessError(2, command)

    monkeypatch.setattr(subprocess, "run", run)
    done = CliRunner().invoke(app, ["export", "--setup", "ncnn"])
    assert isinstance(done.exception, UserError)
    assert "ended with status 2" in str(done.exception)
    assert "install" in str(done.exception)
    assert "pnnx==" in str(done.exception)
    assert not (folder / "ncnn").exists()


def test_unknown_environment() -> None:
    with pytest.raises(UserError, match="'nncn' has no environment of its own"):
        set_up("nncn", print)


def test_installer_is_pip_where_uv_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    make, install = ENVIRONMENTS["ncnn"].commands()
    assert make[1:3] == ["-m", "venv"]
    assert install[1:4] == ["-m", "pip", "install"]
    assert "--no-deps" in install


@pytest.mark.skipif(os.name == "nt", reason="the pretended interpreter is a shell script")
@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", r"converter of LiteRT crashed \(signal 11\)"),
        ("raise ValueError('half pixel centers')", "gave up: ValueError: half pixel centers"),
        ("pass", "gave up: it says nothing"),
    ],
)
def test_converter_that_fails_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, reason: str
) -> None:
    pretend("litert", monkeypatch)
    (tmp_path / "convert_litert.py").write_text(program)
    monkeypatch.setattr(outside_module, "CONVERTERS", tmp_path)
    run = make_run(tmp_path)
    (verdict,) = export(run, "litert", size=(32, 32))
    assert verdict.status == "refused"
    assert list((run / "export").iterdir()) == []
    assert re.search(reason, verdict.reason)


@pytest.mark.skipif(os.name == "nt", reason="the pretended interpreter is a shell script")
def test_core_ml_is_converted_and_not_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend("coreml", monkeypatch)
    (tmp_path / "convert_coreml.py").write_text("import sys, pathlib; pathlib.Path(sys.argv[3]).mkdir()")
    monkeypatch.setattr(outside_module, "CONVERTERS", tmp_path)
    monkeypatch.setattr(sys, "platform", "linux")
    (verdict,) = export(make_run(tmp_path), "coreml", size=(32, 32))
    assert verdict.status == "converted"
    assert "macOS" in verdict.reason


def test_tensorrt_is_converted_and_its_command_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    run = make_run(tmp_path)
    (verdict,) = export(run, "tensorrt", size=(32, 32))
    assert verdict.status == "converted"
    assert "trtexec --onnx=model.onnx" in verdict.reason
    assert (run / "export" / "tensorrt-fp32" / "model.onnx").is_file()


@pytest.mark.parametrize("name", ["ncnn", "litert", "coreml", "executorch", "tensorrt"])
def test_lines_of_infer_compile(name: str) -> None:
    lines = ENGINES[name].infer_lines
    compile(lines, name, "exec")
    assert "def run(array):" in lines


@pytest.mark.parametrize(("batch", "kind", "word"), [(2, "float", "--batch 1"), (1, "uint8", "--input float")])
def test_ncnn_takes_one_float_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int, kind: Any, word: str
) -> None:
    pretend("ncnn", monkeypatch)
    (verdict,) = export(make_run(tmp_path), "ncnn", size=(32, 32), batch=batch, input=kind)
    assert verdict.status == "refused"
    assert word in verdict.reason
