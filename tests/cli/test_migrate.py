"""``densekd convert-config``: files, commands, where the recipe and the report go."""

from pathlib import Path

import pytest
from original_configs import MMRAZOR_SEGMENTATION, write
from typer.testing import CliRunner

from densekd.cli.app import app
from densekd.recipe import load_recipe

COMMAND = ["bash", "exp_cwd.sh", "channel", "kl", "3", "4", "True", "True", "False", "v1"]


def test_a_recipe_is_printed_and_the_report_beside_it(tmp_path: Path) -> None:
    path = write(tmp_path, "config.py", MMRAZOR_SEGMENTATION + "extra = 3\n")
    result = CliRunner().invoke(app, ["convert-config", str(path)])
    assert result.exit_code == 0
    assert result.stdout.startswith("# Converted from config.py.\n")
    assert "# - extra = 3\n" in result.stdout
    assert "- extra = 3\n" in result.stderr
    recipe = write(tmp_path, "recipe.yaml", result.stdout)
    assert load_recipe(recipe).training.steps == 80000


def test_a_command_behind_two_dashes_and_a_file_that_is_there(tmp_path: Path) -> None:
    out = tmp_path / "recipe.yaml"
    arguments = ["convert-config", "--out", str(out), "--", *COMMAND]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    recipe = load_recipe(out)
    assert [term.method for term in recipe.distill] == ["cwd", "pixel", "adversarial"]
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code != 0
    assert "--force" in str(again.exception)
    for flag in ("--force", "--overwrite"):
        assert CliRunner().invoke(app, ["convert-config", flag, "--out", str(out), "--", *COMMAND]).exit_code == 0


def test_a_command_as_one_text() -> None:
    result = CliRunner().invoke(app, ["convert-config", " ".join(COMMAND)])
    assert result.exit_code == 0
    assert "family: torchdistiller" in result.stdout


@pytest.mark.parametrize("source", ["none.py", "picture.png"])
def test_what_is_not_there_is_one_message(source: str, tmp_path: Path) -> None:
    if source == "picture.png":
        write(tmp_path, source, "x")
    result = CliRunner().invoke(app, ["convert-config", str(tmp_path / source)])
    assert result.exit_code != 0
    assert source in str(result.exception)


def test_a_wrong_system() -> None:
    result = CliRunner().invoke(app, ["convert-config", "--system", "keras", "--", *COMMAND])
    assert "cirkd, hwd, torchdistiller" in str(result.exception)


def test_what_a_file_says_stays_a_comment(tmp_path: Path) -> None:
    # A line end in a value must not end the comment that lists it.
    path = write(tmp_path, "config.py", MMRAZOR_SEGMENTATION + "extra = 'a\\nteacher: evil'\n\nodd = '\\x1b[2J'\n")
    result = CliRunner().invoke(app, ["convert-config", str(path)])
    recipe = write(tmp_path, "recipe.yaml", result.stdout)
    assert load_recipe(recipe).teacher is not None
    assert "\x1b" not in result.stdout + result.stderr
