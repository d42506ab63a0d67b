"""Links of pages to files outside of docs/: to the pages made of them, else names of files, which the site lacks."""

import posixpath
import re

# Files at the root that are pages of the site (site_pages.py).
_PAGES = {
    "CONTRIBUTING.md": "docs/contributing.md",
    "SECURITY.md": "docs/security.md",
    "CHANGELOG.md": "docs/changelog.md",
}
# How much a page counts in the search: decisions and changes have every word.
_BOOSTS = {"decisions.md": 0.01, "changelog.md": 0.01}
LINK = re.compile(r"\[([^\]]*)\]\(((?:\.\./)+[^)\s#]*)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, page, config, files) -> str:  # type: ignore[no-untyped-def]
    """Replace links that leave docs/ by those to pages made of the files, else by the text and the name of the file."""
    if page.file.src_uri in _BOOSTS:
        page.meta["search"] = {"boost": _BOOSTS[page.file.src_uri]}
    folder = posixpath.dirname(page.file.src_uri)

    def name(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join("docs", folder, match[2]))
        if target.startswith("docs/"):
            return match[0]
        made = _PAGES.get(target)
        if target.endswith(".ipynb"):
            made = "docs/" + target.removesuffix(".ipynb") + ".md"
        if made is not None:
            return f"[{match[1]}]({posixpath.relpath(made, posixpath.join('docs', folder))}{match[3] or ''})"
        return f"{match[1]} (`{target}`)" if match[1].strip("`") != target else f"`{target}`"

    return LINK.sub(name, markdown)
