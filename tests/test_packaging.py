"""What surrounds the package: images, citation, templates, and the page for language models."""

import re
from pathlib import Path

import pytest
import yaml

import densekd

ROOT = Path(__file__).parents[1]
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
INSTRUCTIONS = {"FROM", "ARG", "COPY", "RUN", "USER", "WORKDIR", "ENTRYPOINT", "CMD"}


def instructions(path: Path) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile with what follows them, lines joined."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    return [(line.split()[0], line.partition(" ")[2]) for line in lines]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_images_are_pinned_clean_and_not_root(path: Path) -> None:
    found = instructions(path)
    names = [name for name, _ in found]
    assert set(names) <= INSTRUCTIONS
    assert names[0] == "FROM"
    # A tag, so that the same file makes the same image tomorrow.
    assert re.fullmatch(r"python:3\.\d+-slim", found[0][1])
    # The last user is the one that runs, and it is not root.
    assert [value for name, value in found if name == "USER"][-1] == "densekd"
    runs = [value for name, value in found if name == "RUN"]
    for value in runs:
        assert "pip install" not in value or "--no-cache-dir" in value
        assert "apt-get install" not in value or ("--no-install-recommends" in value and "rm -rf" in value)
        assert "-c /densekd/constraints.txt" in value or "pip install" not in value
    assert "://" not in path.read_text(encoding="utf-8")


def test_the_citation_is_of_this_version() -> None:
    content = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert content["version"] == densekd.__version__
    assert content["license"] == "Apache-2.0"
    assert {"cff-version", "message", "title", "authors"} <= content.keys()


def test_templates_of_issues_are_forms() -> None:
    for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if path.stem == "config":
            continue
        assert {"name", "description", "body"} <= content.keys()
        assert all("id" in part and "label" in part["attributes"] for part in content["body"])


def test_the_page_for_language_models_leads_somewhere() -> None:
    text = (ROOT / "llms.txt").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) > 15
    assert [link for link in links if not (ROOT / link).is_file()] == []
