"""Links of pages to files outside of docs/: to the pages of notebooks, else names of files, which the site lacks."""

import posixpath
import re

LINK = re.compile(r"\[([^\]]*)\]\(((?:\.\./)+[^)\s#]*)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, page, config, files) -> str:  # type: ignore[no-untyped-def]
    """Replace links that leave docs/ by the text and the name of the file; those to notebooks by their pages."""
    folder = posixpath.dirname(page.file.src_uri)

    def name(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join("docs", folder, match[2]))
        if target.startswith("docs/"):
            return match[0]
        if target.endswith(".ipynb"):
            notebook = posixpath.relpath(target.removesuffix(".ipynb") + ".md", folder or ".")
            return f"[{match[1]}]({notebook})"
        return f"{match[1]} (`{target}`)" if match[1].strip("`") != target else f"`{target}`"

    return LINK.sub(name, markdown)
