"""Comparisons of trainings: which runs are started with what, and what the table shows of them."""

import json
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from trainings import Bench, Row, table

ROWS = {
    "alone": Row("alone", "small", ("training.steps=2",)),
    "cwd": Row("cwd", "small-cwd", needs_teacher=True, seeds=1),
}


def test_rows_seeds_and_teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[str, tuple[str, ...]]] = []

    def train(bench: Bench, name: str, row: Row, *more: str) -> Path:
        started.append((name, more))
        folder = bench.runs / name
        folder.mkdir()
        score = 10.0 * len(started)
        (folder / "results.json").write_text(json.dumps({"student": {"miou": score}}))
        (folder / "metrics.csv").write_text("step,seconds_per_step\n1,\n2,0.5\n3,0.7\n4,0.6\n")
        return folder

    monkeypatch.setattr(Bench, "train", train)
    teacher: Future[Path] = Future()
    teacher.set_result(Path("runs/teacher"))
    with ThreadPoolExecutor(1) as pool:
        rows = Bench(tmp_path, tmp_path, "miou").students(ROWS, "tiny", 2, pool, teacher)
    assert started == [
        ("tiny-alone-seed0", ("training.seed=0",)),
        ("tiny-alone-seed1", ("training.seed=1",)),
        ("tiny-cwd-seed0", ("training.seed=0", "teacher.checkpoint=runs/teacher")),
    ]
    assert rows["alone"]["miou"] == [10.0, 20.0]
    assert rows["alone"]["runs"] == ["tiny-alone-seed0", "tiny-alone-seed1"]
    assert rows["alone"]["std"] == pytest.approx(50**0.5)
    assert rows["cwd"]["std"] == 0.0
    assert table({"rows": rows}, "miou", "mIoU").splitlines()[2:] == [
        "| alone | **15.00** | 7.07 | 10.00 / 20.00 | 0.600 |",
        "| cwd | **30.00** | – | 30.00 | 0.600 |",
    ]
