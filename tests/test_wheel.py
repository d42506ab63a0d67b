"""The wheel: all files of the package and nothing else, the same bytes each time, and it works alone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.metadata import Metadata

import densekd

ROOT = Path(__file__).parents[1]
NAME = f"densekd-{densekd.__version__}-py3-none-any.whl"
BUILD = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
# What a build reads.
PARTS = ("pyproject.toml", "README.md", "LICENSE", "src", "recipes", "docs/recipe.schema.json")

pytest.importorskip("hatchling", reason="the build backend is not installed: pip install -e '.[dev]'")


def built(folder: Path, seconds: int) -> Path:
    """Build the wheel of a copy of the sources whose files were all changed at one time."""
    for part in PARTS:
        source, target = ROOT / part, folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    for path in folder.rglob("*"):
        os.utime(path, (seconds, seconds))
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    command = [sys.executable, "-c", BUILD, str(folder / "dist")]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return folder / "dist" / NAME


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("first"), 1_600_000_000)


def test_the_same_sources_make_the_same_bytes(wheel: Path, tmp_path: Path) -> None:
    assert built(tmp_path, 1_750_000_000).read_bytes() == wheel.read_bytes()


def test_it_holds_the_package_the_recipes_the_schema_and_the_license(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if not name.endswith("/")}
        metadata = Metadata.from_email(archive.read(f"densekd-{densekd.__version__}.dist-info/METADATA"))
    sources = {path.relative_to(ROOT / "src") for path in (ROOT / "src").rglob("*") if path.is_file()}
    expected = {path.as_posix() for path in sources if "__pycache__" not in path.parts}
    recipes = {path.relative_to(ROOT).as_posix() for path in (ROOT / "recipes").rglob("*") if path.is_file()}
    expected |= {f"densekd/{name}" for name in recipes}
    expected.add("densekd/recipe.schema.json")
    info = f"densekd-{densekd.__version__}.dist-info"
    assert {name for name in held if not name.startswith(info)} == expected
    assert f"{info}/licenses/LICENSE" in held
    assert metadata.license_expression == "Apache-2.0"
    assert metadata.description_content_type == "text/markdown"
    assert metadata.requires_python is not None


def test_it_works_without_its_sources(wheel: Path, tmp_path: Path) -> None:
    with ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    # In front of all else, so that no other densekd is meant.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), *sys.path[1:]])}
    program = (
        "import densekd; from densekd.recipe.shipped import shipped_recipe; from densekd.report import page;"
        "print(densekd.__file__, shipped_recipe('quickstart'), page.Environment, sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    places = done.stdout.splitlines()[:2]
    assert [Path(place).relative_to(tmp_path / "site").parts[0] for place in places] == ["densekd", "densekd"]
    command = [sys.executable, "-m", "densekd", "recipes", "cirkd-r18-cwd"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)
    assert "cirkd-r18-cwd" in done.stdout
