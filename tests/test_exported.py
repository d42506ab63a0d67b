"""What a report and a model card say of exported artefacts."""

import json
from pathlib import Path
from typing import Any

from densekd.export.verdict import TITLES, Verdict
from densekd.exported import exports_markdown, read_exports, refresh_card


def write(folder: Path, name: str, verdict: Verdict) -> None:
    path = folder / "export" / name
    path.mkdir(parents=True)
    content: dict[str, Any] = {"engine": {"title": "OpenVINO", "version": "2026.4"}, "verdict": verdict.to_json()}
    (path / "model.json").write_text(json.dumps(content))


def test_rows(tmp_path: Path) -> None:
    scores: dict[str, Any] = {"metric": "mIoU", "unit": "%", "torch_score": 70.0, "engine_score": 69.75, "drop": 0.25}
    write(tmp_path, "openvino-fp16", Verdict("openvino", "fp16", "verified", difference=0.001, bytes=2500000, **scores))
    write(tmp_path, "openvino-fp32", Verdict("openvino", "fp32", "compared", "no data", difference=1e-6))
    (tmp_path / "export" / "other").mkdir()
    (tmp_path / "export" / "other" / "model.json").write_text("[1]")
    half, full = read_exports(tmp_path)
    assert half.artefact == "openvino-fp16"
    assert half.engine == "OpenVINO 2026.4"
    assert half.score == "mIoU 69.75 % (70.00)"
    assert (half.drop, half.size, half.difference) == ("+0.25", "2.5", "1.0e-03")
    assert full.verdict == TITLES["compared"]
    assert full.reason == "no data"
    assert "| openvino-fp16 | OpenVINO 2026.4 | verified | 1.0e-03 | mIoU 69.75 % (70.00) | 2.5 |" in exports_markdown(
        (half, full)
    )


def test_nothing_exported(tmp_path: Path) -> None:
    assert read_exports(tmp_path) == ()
    assert exports_markdown(()) == ""


def test_titles_are_the_same() -> None:
    """Reports import nothing of the export: both tables say the same."""
    from densekd import exported

    assert exported._TITLES == TITLES


def test_a_card_is_brought_up_to_date(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    card = "---\nlibrary_name: densekd\n---\n# fpn\n"
    readme.write_text(card)
    refresh_card(tmp_path)
    assert readme.read_text() == card
    write(tmp_path, "onnx-fp32", Verdict("onnx", "fp32", "verified", difference=1e-6))
    refresh_card(tmp_path)
    assert readme.read_text().count("| onnx-fp32 |") == 1
    readme.write_text(f"{readme.read_text()}\n## Mine\n\nA remark.\n")
    write(tmp_path, "onnx-fp16", Verdict("onnx", "fp16", "verified", difference=1e-3))
    refresh_card(tmp_path)
    text = readme.read_text()
    assert [text.count(part) for part in ("## Exported", "onnx-fp32", "onnx-fp16")] == [1, 1, 1]
    assert text.startswith(card)
    assert text.endswith("\n## Mine\n\nA remark.\n")


def test_a_readme_of_somebody_else_stays(tmp_path: Path) -> None:
    write(tmp_path, "onnx-fp32", Verdict("onnx", "fp32", "verified"))
    (tmp_path / "README.md").write_text("# My run\n")
    refresh_card(tmp_path)
    assert (tmp_path / "README.md").read_text() == "# My run\n"
