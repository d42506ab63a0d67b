"""The one command of a GPU: its rehearsal on a CPU passes, goes on after a stop, and leaves results and pages alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"


def run(work: Path, *options: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    folders = [str(Path(sys.executable).parent), os.environ["PATH"]]
    if path is not None:
        folders.insert(0, str(path))
    command = ["bash", str(FOLDER / "gpu.sh"), "--device", "cpu", "--tiny", "--work", str(work), *options]
    environment = os.environ | {"PATH": os.pathsep.join(folders), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False)


def test_a_rehearsal_fills_a_copy_of_the_tables(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == [
        "kernels-bfloat16-channels-last-rehearsal.json",
        "kernels-rehearsal.json",
        "losses-rehearsal.json",
        "step-rehearsal.json",
    ]
    assert (tmp_path / "benchmarks.md").read_text().count("| 20x8x8-32x32 |") == 4
    assert (ROOT / "docs" / "benchmarks.md").read_text() == page


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A Python that fails at the losses and does nothing else."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "python"
    program.write_text('#!/bin/sh\ncase "$*" in *losses.py*) echo no losses today; exit 3;; esac\n')
    program.chmod(0o755)
    return folder


def test_a_part_that_fails_stops_no_other_and_is_tried_again(broken: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    first = run(work, path=broken)
    assert first.returncode == 1
    assert "failed with 3" in first.stdout
    assert "no losses today" in first.stdout
    assert "Failed: losses." in first.stdout
    assert "[6/8] steps: at most" in first.stdout
    again = run(work, path=broken)
    assert again.returncode == 1
    assert "[6/8] steps: done before" in again.stdout
    assert "[5/8] losses: at most" in again.stdout


@pytest.mark.parametrize(
    ("options", "said"), [(["--fast"], "unknown option"), (["--camvid", "nowhere"], "no such folder")]
)
def test_wrong_options(options: list[str], said: str, tmp_path: Path) -> None:
    done = run(tmp_path, *options)
    assert done.returncode == 2
    assert said in done.stderr


def test_the_newest_results_of_a_device_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.delitem(sys.modules, "kernels", raising=False)  # that of tests/kernels
    import fill_tables

    for name, device, date in (("a", "cuda", "2026-01-02"), ("b", "cuda", "2026-01-01"), ("c", "cpu", "2026-02-01")):
        machine = {"device": device, "date": date, "name": name}
        (tmp_path / f"kernels-{name}.json").write_text(json.dumps({"machine": machine}))
    other = {"machine": {"device": "cuda", "date": "2027-01-01", "name": "other"}}
    (tmp_path / "kernels-bfloat16-channels-last-a.json").write_text(json.dumps(other))
    found = fill_tables.newest(tmp_path, "kernels", "cuda")
    assert found is not None
    assert found["machine"]["name"] == "a"
    assert fill_tables.newest(tmp_path, "step", "cuda") is None
    with pytest.raises(SystemExit, match="no place for a table"):
        fill_tables.filled("a page", "kernels", found)
