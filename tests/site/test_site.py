"""The documentation site: builds strictly; links lead somewhere; what its blocks show is what densekd takes."""

import html
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from densekd.cli.app import app
from densekd.cli.command_reference import command_reference
from densekd.errors import RecipeError
from densekd.parsers.yaml_files import parse_yaml
from densekd.recipe.reading import parse_recipe

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Pages with the words of other projects, or without blocks of ours.
_OTHERS_WORDS = ("migrating.md", "decisions.md", "sweep.md")
FENCE = re.compile(r"^( *)```(\w+)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!`)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
# Parts of a recipe that are shown without the rest, around what stands here.
WHOLE: dict[str, Any] = {
    "name": "page",
    "data": {"dataset": "folder", "root": "data"},
    "augment": {"crop": [64, 64]},
    "student": {"model": "fpn", "options": {"backbone": "resnet18_025", "channels": 16}},
    "training": {"steps": 10},
}


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def blocks(page: Path, *languages: str) -> Iterator[str]:
    """Yield the blocks of a page in some languages, without the indentation of a list."""
    for indent, language, text in FENCE.findall(page.read_text(encoding="utf-8")):
        if language in languages:
            yield re.sub(f"^{indent}", "", text, flags=re.MULTILINE)


def alternatives(block: str) -> list[str]:
    """Divide a block in which a section is shown several times, once for each way to write it."""
    parts: list[list[str]] = [[]]
    seen: set[str] = set()
    for line in block.splitlines():
        key = re.match(r"\w+(?=:)", line)
        if key is not None and key[0] in seen:
            parts.append([])
            seen = set()
        if key is not None:
            seen.add(key[0])
        parts[-1].append(line)
    return ["\n".join(part) for part in parts]


def anchor(heading: str) -> str:
    """Return the anchor of a heading, as GitHub and the site write it."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", text))


def commands() -> dict[str, Any]:
    """Return every command by its words."""
    group: Any = typer.main.get_command(app)
    found = {}
    for name, command in group.commands.items():
        found[name] = command
        for sub, one in getattr(command, "commands", {}).items():
            found[f"{name} {sub}"] = one
    return found


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in LINK.findall(text):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, fragment = link.partition("#")
        target = page if not path else (page.parent / path).resolve()
        assert target.exists(), f"{link}: no such file"
        if fragment and target.suffix == ".md":
            headings = [anchor(one) for one in HEADING.findall(target.read_text(encoding="utf-8"))]
            assert fragment in headings, f"{link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_a_page_says_first_what_it_is_for(page: Path) -> None:
    lines = [line for line in page.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert lines[0].startswith("# ")
    assert not lines[1].startswith(("#", "`" * 3, "|", ":::", "- ", "!"))


def test_every_page_is_in_the_navigation() -> None:
    content = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in PAGES[1:]:
        assert str(page.relative_to(ROOT / "docs")) in content, page


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_shown_commands_are_commands(page: Path) -> None:
    known = commands()
    for block in blocks(page, "sh", "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|;", line):
                check_command(part, known)


def check_command(line: str, known: dict[str, Any]) -> None:
    """Require that a shown command and its options exist."""
    words = shlex.split(line, comments=True)
    if "densekd" not in words:
        return
    words = words[words.index("densekd") + 1 :]
    if not words or words[0] in ("-c", "--version", "--help") or words[0].startswith(("-", ">")):
        return
    name = " ".join(words[:2]) if " ".join(words[:2]) in known else words[0]
    assert name in known, f"'densekd {name}' is no command: {line}"
    options = {option for parameter in known[name].params for option in parameter.opts} | {"--debug", "--help"}
    for word in words[1:]:
        if word == "--":
            break
        if word.startswith("--"):
            assert word.partition("=")[0] in options, f"{word} is no option of {name}: {line}"


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_shown_recipes_are_recipes(page: Path) -> None:
    if page.name in _OTHERS_WORDS:
        pytest.skip("it shows what other projects write")
    shown = [part for block in blocks(page, "yaml") for part in alternatives(block)]
    for block in shown:
        content = parse_yaml(block)
        # A list is one of terms; a mapping is a recipe, or sections of one.
        if isinstance(content, list):
            content = {"distill": content}
        if "data" in content and "dataset" in content["data"] and {"student", "training"} <= content.keys():
            whole = {"name": "page"} | content
        else:
            whole = WHOLE | content
        # A term needs a teacher, and a teacher a term.
        if whole.get("distill"):
            whole.setdefault("teacher", {"checkpoint": "runs/teacher"})
        elif "teacher" in whole:
            whole["distill"] = [{"method": "cwd", "weight": 1}]
        try:
            parse_recipe(whole, page.name)
        except RecipeError as error:
            pytest.fail(f"{error}\n{block}")


def test_the_job_of_kubernetes_is_yaml() -> None:
    (block,) = blocks(ROOT / "docs" / "guides" / "containers.md", "yml")
    job = parse_yaml(block)
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    # Every folder that is mounted is a volume; what is run is a command of ours.
    assert {one["name"] for one in container["volumeMounts"]} == {one["name"] for one in pod["volumes"]}
    check_command(shlex.join(["densekd", *container["args"]]), commands())


def test_the_reference_of_commands_is_current() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert page == command_reference(app), "densekd docs commands > docs/commands.md"


def test_the_site_builds(site: Path) -> None:
    start = (site / "start" / "quickstart" / "index.html").read_text(encoding="utf-8")
    assert "quickstart" in start
    # Nothing is fetched from elsewhere.
    home = (site / "index.html").read_text(encoding="utf-8")
    assert not re.findall(r'(?:src|href)="https?://(?!squidfunk|www\.mkdocs)[^"]+\.(?:js|css|woff2?)"', home)
    assert (site / "api" / "index.html").read_text(encoding="utf-8").count("densekd.distill") > 1


def test_notebooks_are_pages(site: Path) -> None:
    for notebook in (ROOT / "examples").glob("*.ipynb"):
        page = (site / "examples" / notebook.stem / "index.html").read_text(encoding="utf-8")
        shown = re.sub(r"<[^>]+>", "", page)
        for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                assert html.escape(cell["source"][0].strip(), quote=False) in shown
    # Links lead to the pages, from them and to them.
    assert 'href="../../guides/production/"' in (site / "examples" / "ship" / "index.html").read_text(encoding="utf-8")
    assert 'href="../examples/distil/"' in (site / "python" / "index.html").read_text(encoding="utf-8")


def test_files_at_the_root_are_pages(site: Path) -> None:
    assert 'href="../architecture/"' in (site / "contributing" / "index.html").read_text(encoding="utf-8")
    assert 'href="../../contributing/"' in (site / "guides" / "own" / "index.html").read_text(encoding="utf-8")
    assert "What is promised" in (site / "security" / "index.html").read_text(encoding="utf-8")
