"""Verdicts of the engines: each says when, where and by which versions it was found."""

import json
from pathlib import Path
from typing import Any

import export
import pytest


def test_every_verdict_names_machine_and_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = dict.fromkeys(export._KEPT) | {"engine": "onnx", "precision": "fp32", "status": "verified"}

    def write(arguments: list[str]) -> tuple[float, str]:
        if "int8" in arguments:
            return 1.0, "out of memory"
        Path(arguments[-1]).write_text(json.dumps([verdict]))
        return 2.0, ""

    monkeypatch.setattr(export, "_run", write)
    cells: dict[str, Any] = export._exported(tmp_path, ["onnx"], ["fp32"]) or {}
    cells |= export._exported(tmp_path, ["onnx"], ["int8"]) or {}
    assert cells["onnx-fp32"]["status"] == "verified"
    assert cells["onnx-int8"]["reason"] == "out of memory"
    for cell in cells.values():
        assert set(cell["machine"]) == {"device", "name", "threads", "torch", "python", "date"}
        assert cell["machine"]["threads"] == export._THREADS
    assert "verified" in export.table({"FPN": cells})
