"""Pinned versions agree with each other and carry checksums; every installed license is one that was looked at."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PINS = (ROOT / "requirements-hashed.txt").read_text(encoding="utf-8")


def key(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_hashed_pins_are_those_of_the_constraints() -> None:
    constraints = re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    hashed = {key(name): version for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", PINS, re.MULTILINE)}
    # The audit, the notebooks and the like are pinned as well; what the tests install must be there.
    assert {key(name): version for name, version in constraints if key(name) in hashed}.items() <= hashed.items()
    assert {"torch", "lightning", "numpy", "safetensors", "pillow"} <= hashed.keys()


def test_every_pin_has_a_checksum_and_no_address() -> None:
    entries = re.split(r"^(?=[\w])", PINS, flags=re.MULTILINE)[1:]
    assert len(entries) > 100
    assert [entry.partition(" ")[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert "://" not in PINS
    assert "index" not in PINS.replace("--hash", "")


def test_every_license_is_known() -> None:
    command = [sys.executable, str(ROOT / ".ci" / "licenses.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    listed = set(re.findall(r"^\| ([\w.-]+) \|", (ROOT / "docs" / "licenses.md").read_text(), re.MULTILINE))
    installed = set(re.findall(r"^\| ([\w.-]+) \|", done.stdout, re.MULTILINE))
    assert {"torch", "lightning", "pyyaml"} <= installed
    assert installed - listed == set()
