"""What the benchmark of kernels measures is written and read."""

import json
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


def test_rows_of_both_kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.delitem(sys.modules, "kernels", raising=False)  # that of tests/kernels
    import kernels

    said: list[str] = []
    options = ["--machine", "test", "--results", str(tmp_path), "--device", "cpu", "--repeats", "1", "--threads", "1"]
    options += ["--layout", "channels-last"]
    names = ["channel_kl in tens", "resized_cross_entropy"]
    kernels.main([*options, "--only", *names, "--sizes", "20x8x8-64x64"], said.append)
    results = json.loads((tmp_path / "kernels-float32-channels-last-test.json").read_text())
    assert results["copy_bytes_per_second"] > 0
    assert [row["kernel"] for row in results["rows"]] == names
    logits, labels = 2 * 20 * 8 * 8 * 4, 2 * 64 * 64 * 8
    plain, enlarged = results["rows"]
    assert plain["ideal_bytes"] == 3 * logits
    assert enlarged["ideal_bytes"] == 2 * logits + labels
    # The enlarged logits and their gradient are what the plain formula holds and the kernel does not.
    assert enlarged["eager"]["peak_bytes"] > 2 * 64 * logits > enlarged["ours"]["peak_bytes"]
    assert all(row[who]["seconds"] > 0 for row in results["rows"] for who in ("ours", "eager"))
    said.clear()
    kernels.main([*options, "--table"], said.append)
    assert said[0].splitlines()[2].startswith("| channel_kl in tens | 20x8x8-64x64 | 2 | ")
