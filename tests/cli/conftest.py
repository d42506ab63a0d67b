"""The command line called in this process, a recipe file, and a run trained by the command."""

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from forked import run_command
from tiny_data import tiny_recipe

from densekd.cli.app import main
from densekd.cli.console import console
from densekd.models.zoo import ZOO


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command line in this process; return (exit status, everything printed)."""

    def call(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["densekd", *map(str, arguments)])
        monkeypatch.setattr(console, "width", 200)
        # What the command sets for its children is no matter of the other tests.
        monkeypatch.setenv("PYTHONSAFEPATH", "")
        monkeypatch.setenv("DENSEKD_QUIET", "")
        with pytest.raises(SystemExit) as stopped:
            sys.exit(main())
        printed = capsys.readouterr()
        return int(stopped.value.code or 0), printed.out + printed.err

    return call


@pytest.fixture
def few_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command ``models`` measures two networks; tests/models/test_convert.py lists them all."""
    monkeypatch.setattr("densekd.cli.inspection.ZOO", ZOO[:2])


@pytest.fixture
def recipe_file(recipe: dict[str, Any], tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


@pytest.fixture(scope="session")
def trained(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(tiny_recipe(data_root)))
    arguments = ["train", folder / "tiny.yaml", "--run", folder / "run", "training.steps=3"]
    finished = run_command(*arguments, cwd=Path.cwd())
    assert finished.returncode == 0, finished.stderr
    # Nothing but our own words: no banner, no warning, no traceback.
    assert finished.stderr == ""
    assert "Lightning" not in finished.stdout
    assert "step 3/3" in finished.stdout
    return folder / "run"
