"""Record of a prediction of many images, a line each, by which an interrupted one goes on."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from densekd.atomic import write_text
from densekd.disk import naming
from densekd.errors import UserError
from densekd.parsers import parse_json, read_bytes
from densekd.seal import require_unchanged, sealed

NAME = "predicted.jsonl"


class Records:
    """What was found in which image: ``predicted.jsonl``, appended to while images are predicted.

    Args:
        out: the folder of the prediction.
        resume: keep what an earlier prediction into the same folder has found.
    """

    def __init__(self, out: Path, resume: bool = False) -> None:
        self.path = out / NAME
        self.found: dict[str, Any] = {}
        self._files: dict[str, str] = {}
        if resume:
            for line in self._whole_lines():
                self.found[line["name"]] = line["found"]
                self._files[line["name"]] = line["file"]
        # Anew, or without a last line that was cut off.
        write_text(self.path, "".join(map(self._line, self.found)))

    def has(self, name: str, file: Path) -> bool:
        """Tell whether an image was predicted before; another file of the same name was not."""
        return name in self.found and self._files[name] == _state(file)

    def add(self, name: str, file: Path, found: Any) -> None:
        """Note that an image is done, after its files were written.

        Args:
            name: of its output.
            file: the image.
            found: plain data that the results of all images are made of.
        """
        self.found[name] = found
        self._files[name] = _state(file)
        with naming(self.path), self.path.open("a", encoding="utf-8") as stream:
            stream.write(self._line(name))

    def _line(self, name: str) -> str:
        content = {"name": name, "file": self._files[name], "found": self.found[name]}
        return json.dumps(sealed(content)) + "\n"

    def _whole_lines(self) -> Iterator[dict[str, Any]]:
        if not self.path.is_file():
            return
        for text in read_bytes(self.path).splitlines():
            try:
                line = require_unchanged(parse_json(text), str(self.path))
            except (ValueError, UserError):
                # Damaged, or the last line of a killed process; its image is predicted again.
                continue
            if isinstance(line, dict) and {"name", "file", "found"} <= line.keys():
                yield line


def _state(file: Path) -> str:
    """Describe a file so that a changed one is told from it: path, bytes and time of its last change."""
    known = file.stat()
    return f"{file.resolve()} {known.st_size} {known.st_mtime_ns}"
