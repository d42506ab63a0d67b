"""What docs/migrating.md names exists: presets, commands, keys."""

import re
from pathlib import Path

from original_configs import cirkd, hwd, write

from densekd.cli.app import COMMANDS
from densekd.convert_config import convert_file
from densekd.presets import PRESETS

PAGE = (Path(__file__).parents[2] / "docs" / "migrating.md").read_text(encoding="utf-8")


def test_presets_and_commands_exist() -> None:
    named = set(re.findall(r"densekd train ([a-z][\w-]+)`", PAGE))
    assert len(named) >= 5
    assert named <= set(PRESETS)
    commands = {command.__name__.replace("_", "-") for command in COMMANDS}
    assert set(re.findall(r"densekd ([a-z][a-z-]*)", PAGE)) - {"knows", "does"} <= commands


def test_the_readme_links_the_page() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert "(docs/migrating.md)" in readme


def test_families_of_the_page(tmp_path: Path) -> None:
    script = write(tmp_path, "a.sh", cirkd("train_kd.py", "--lambda-kd 1", "--student-model deeplab_mobile",
                                           "--student-backbone mobilenetv2"))  # fmt: skip
    student = convert_file(script).content["student"]
    assert student["model"] == "deeplabv3_mobile"
    assert student["options"] == {"backbone": "mobilenetv2_100", "family": "hwd"}
    command = write(tmp_path, "b.sh", hwd("train_hwd.py", "--DivPixel N2"))
    assert convert_file(command).content["distill"][0]["options"]["pixel_division"] == "N2"
