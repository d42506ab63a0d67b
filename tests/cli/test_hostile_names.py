"""Names with markup and escape sequences go through every command; nothing of them reaches the terminal raw."""

import json
import sys
from pathlib import Path

import pytest
import yaml
from tiny_data import make_folder, tiny_recipe

from densekd.cli.app import main

NAMES = ["[/red]", "\x1b[31mcar\x9b2J", "tree\u202e [bold]\r"]


def run(*words: str) -> int:
    sys.argv = ["densekd", *words]
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "a[/b]c\x1b[31m"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    root = make_folder(folder / "data [/x]", {"train": 8, "val": 4})
    (root / "classes.json").write_text(json.dumps({"names": NAMES}))
    # A file whose name, too, is shown: as unreadable in the check of the data.
    content = {**tiny_recipe(root), "name": "tiny", "logging": []}
    Path("r[").mkdir()
    Path("r[/x]\\.yaml").write_text(yaml.safe_dump(content))
    return root


def test_every_command(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    recipe, folder = "r[/x]\\.yaml", "run[/y]"
    commands = [
        ("data", "check", recipe),
        ("check", recipe),
        ("train", recipe, "--run", folder),
        ("evaluate", folder),
        ("predict", folder, str(place / "images/val"), "--out", "out[/z]"),
        ("inspect", f"{folder}/student", "--size", "32x32"),
        ("inspect", f"{folder}/checkpoints/last.ckpt", "--size", "32x32"),
        ("convert", f"{folder}/checkpoints/last.ckpt", "packed[/p]"),
    ]
    for words in commands:
        assert run(*words) == 0, words
        shown = capfd.readouterr()
        for text in (shown.out, shown.err):
            assert not set(text) & set("\x1b\x9b\u202e\r"), words
        assert "[/" in shown.out, words
    (place / "images/val/000.png").rename(place / "images/val/\x1b[2J.png")
    assert run("data", "check", recipe) == 1
    assert "\x1b" not in "".join(capfd.readouterr())
