"""Pages of the site from outside of docs/: notebooks of examples/ (not run), CONTRIBUTING, SECURITY and CHANGELOG."""

import json
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

# A link of Markdown may begin on one line and name its target on the next.
_TO_DOCS = re.compile(r"\]\(\s*\.\./docs/")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add ``examples/NAME.md`` for each ``examples/NAME.ipynb``, and the pages of files at the root."""
    root = Path(config.docs_dir).parent
    for path in sorted((root / "examples").glob("*.ipynb")):
        files.append(File.generated(config, f"examples/{path.stem}.md", content=page(path)))
    for name in ("CONTRIBUTING", "SECURITY", "CHANGELOG"):
        text = (root / f"{name}.md").read_text(encoding="utf-8")
        files.append(File.generated(config, f"{name.lower()}.md", content=text.replace("](docs/", "](")))
    return files


def page(path: Path) -> str:
    """Return a notebook as Markdown, with its title first and the file's name below."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    parts = []
    for cell in cells:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code":
            text = f"```python\n{text}\n```"
        parts.append(_TO_DOCS.sub("](../", text))
    title, _, rest = parts[0].partition("\n")
    origin = (
        f"This page is the notebook `examples/{path.name}`, which the tests execute; open it in Jupyter or an editor."
    )
    return "\n\n".join([title, rest.strip(), origin, *parts[1:]]) + "\n"
