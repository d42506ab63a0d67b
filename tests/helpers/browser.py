"""Chromium without a window, for tests of pages: what a reader's browser makes of them."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")

# In a frame of its own the page has exactly this width; a window has a smallest one.
_FRAME = """<!doctype html><style>* {{ margin: 0 }} iframe {{ border: 0 }}</style>
<iframe id="page" width="{width}" height="{height}" srcdoc="{page}"></iframe><output id="found"></output>
<script>
document.getElementById("page").onload = function () {{
  const page = this.contentDocument, view = this.contentWindow;
  const found = (function (page, view) {{ {script} }})(page, view);
  document.getElementById("found").textContent = JSON.stringify(found);
}};
</script>"""


def evaluate(page: Path, script: str, width: int, folder: Path, dark: bool = False) -> Any:
    """Run a script's body over ``page`` and ``view``, document and window of a page, and return what it returns."""
    framed = folder / "framed.html"
    text = html.escape(page.read_text(encoding="utf-8"))
    framed.write_text(_FRAME.format(width=width, height=900, page=text, script=script), encoding="utf-8")
    dumped = _run(["--dump-dom", "--virtual-time-budget=5000", framed.as_uri()], width, 900, dark)
    found = re.search(r'<output id="found">(.*?)</output>', dumped, re.DOTALL)
    assert found, dumped
    return json.loads(html.unescape(found[1]))


def screenshot(page: Path, picture: Path, width: int, height: int, dark: bool = False) -> None:
    """Write what a page looks like as a PNG."""
    _run([f"--screenshot={picture}", "--hide-scrollbars", page.as_uri()], width, height, dark)


def _run(options: list[str], width: int, height: int, dark: bool) -> str:
    assert CHROMIUM is not None
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", scheme, f"--window-size={width},{height}"]
    return subprocess.run([*command, *options], capture_output=True, text=True, timeout=120, check=True).stdout
