"""The checklists of CONTRIBUTING.md, followed on a copy of the package: they are complete, and their commands pass."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "tests" / "contributing"
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
COPIED = ("src", "tests", "benchmarks", "docs", "recipes", "pyproject.toml")

Edit = tuple[str, str]  # what stands in a file, and what shall stand there instead


@dataclass(frozen=True)
class Example:
    """A worked example: new files in ``tests/contributing/<kind>``, and changes of others.

    Args:
        title: heading of the checklist.
        name: what ``NAME`` stands for.
        edits: file -> changes, each of a text that occurs once.
    """

    title: str
    name: str
    edits: dict[str, tuple[Edit, ...]]


def after(line: str, new: str) -> Edit:
    """Insert a line behind another."""
    return line + "\n", f"{line}\n{new}\n"


KINDS = {
    "loss": Example(
        "Add a loss",
        "lskd",
        {
            "src/densekd/losses/__init__.py": (
                after(
                    "from densekd.losses.ld import LD, LDClasses, LDFeatures", "from densekd.losses.lskd import LSKD"
                ),
                after('    "ld": LD,', '    "lskd": LSKD,'),
            )
        },
    ),
    "backbone": Example(
        "Add a backbone",
        "regnet",
        {
            "src/densekd/models/backbones.py": (
                (
                    "BACKBONES = (*_RESNETS, *_MOBILENETS, *_MOBILEVITS)",
                    '_REGNETS = ("regnety_002", "regnety_004")\n'
                    "BACKBONES = (*_RESNETS, *_MOBILENETS, *_MOBILEVITS, *_REGNETS)",
                ),
                ("    if name in _MOBILEVITS:\n", "    if name in (*_MOBILEVITS, *_REGNETS):\n"),
            )
        },
    ),
    "dataset": Example(
        "Add a dataset",
        "loveda",
        {
            "src/densekd/data/__init__.py": (
                after("from densekd.data.folder import folder", "from densekd.data.loveda import loveda"),
                after('    "folder": folder,', '    "loveda": loveda,'),
            )
        },
    ),
    "task": Example(
        "Add a task",
        "matting",
        {
            "src/densekd/data/__init__.py": (
                after("from densekd.data.folder import folder", "from densekd.data.matting import matting"),
                after('    "folder": folder,', '    "matting": matting,'),
            ),
            "src/densekd/tasks/__init__.py": (
                after("from densekd.tasks.detection import Detection", "from densekd.tasks.matting import Matting"),
                after('    "detection": Detection,', '    "matting": Matting,'),
            ),
        },
    ),
    "checkpoint": Example(
        "Add a checkpoint format",
        "semseg",
        {
            "src/densekd/models/checkpoints/recognize.py": (
                ("segformer, torchdistiller, upernet", "segformer, semseg, torchdistiller, upernet"),
                after('    "nvlabs": segformer.recognize_nvlabs,', '    "semseg": semseg.recognize,'),
            ),
            "src/densekd/models/families.py": (
                after(
                    '    "torchdistiller": _TORCHDISTILLER,',
                    '    "semseg": replace(_MMSEG, stem_width=64, dilation="full", align_corners=True),',
                ),
            ),
        },
    ),
}


def section(example: Example) -> str:
    """Return one checklist of the guide, with the example's name in it."""
    found = re.search(rf"^## {example.title}\n(.*?)(?=^## )", GUIDE, re.MULTILINE | re.DOTALL)
    assert found is not None, f"CONTRIBUTING.md has no section '{example.title}'"
    return found[1].replace("NAME", example.name)


def new_files(kind: str) -> dict[str, Path]:
    """Return the files that an example adds: path in the package -> the file."""
    folder = EXAMPLES / kind
    files = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {path.relative_to(folder).as_posix(): path for path in files}


@pytest.mark.parametrize("kind", KINDS)
def test_a_checklist_names_every_file(kind: str) -> None:
    example = KINDS[kind]
    text = section(example)
    listed = re.findall(r"^- \[ \] `([^`]+)`", text, re.MULTILINE)
    generated = re.findall(r"^- \[ \] `([^`]+)`: generated", text, re.MULTILINE)
    assert sorted(listed) == sorted({*new_files(kind), *example.edits, *generated})
    assert f"`tests/contributing/{kind}`" in text


def test_every_checklist_is_followed() -> None:
    titles = re.findall(r"^## (Add .*)$", GUIDE, re.MULTILINE)
    assert sorted(titles) == sorted(example.title for example in KINDS.values())
    assert {path.name for path in EXAMPLES.iterdir()} == set(KINDS)


def copy_of_the_package(root: Path) -> None:
    ignore = shutil.ignore_patterns("__pycache__", "contributing", "golden", "test_contributing.py")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=ignore)
        else:
            shutil.copy(source, root / name)


def apply(kind: str, root: Path) -> None:
    """Follow a checklist by hand: write the new files, change the others."""
    for path, source in new_files(kind).items():
        assert not (root / path).exists(), path
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, root / path)
    for path, edits in KINDS[kind].edits.items():
        text = (root / path).read_text(encoding="utf-8")
        for old, new in edits:
            assert text.count(old) == 1, f"{path}: {old!r}"
            text = text.replace(old, new)
        (root / path).write_text(text, encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS)
def test_a_checklist_leads_to_passing_tests(kind: str, tmp_path: Path) -> None:
    """On a copy, with the commands that the guide names and nothing else."""
    copy_of_the_package(tmp_path)
    apply(kind, tmp_path)
    found = re.search(r"```bash\n(.*?)```", section(KINDS[kind]), re.DOTALL)
    assert found is not None
    python = f'"{sys.executable}"'
    commands = re.sub(r"^python ", f"{python} ", found[1], flags=re.MULTILINE)
    commands = re.sub(r"^pytest ", f"{python} -m pytest -p no:cacheprovider ", commands, flags=re.MULTILINE)
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    for path in new_files(kind):
        if path.startswith("tests/"):
            assert path in found[1], f"no command runs {path}"
