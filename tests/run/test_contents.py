"""Contents of a run folder, whatever stands in the place of its files."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from densekd.run.contents import holds_results, is_failed_start, mark


def _folder(path: Path) -> None:
    path.mkdir()


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _no_text(path: Path) -> None:
    path.write_bytes(b"step,loss\n1,\xff\n")


@pytest.mark.parametrize("instead", [_folder, _pipe, _no_text])
def test_metrics_that_cannot_be_read_may_have_been_rows(tmp_path: Path, instead: Callable[[Path], None]) -> None:
    mark(tmp_path)
    instead(tmp_path / "metrics.csv")
    assert holds_results(tmp_path)
    assert not is_failed_start(tmp_path)


def test_the_head_of_the_metrics_is_no_result(tmp_path: Path) -> None:
    mark(tmp_path)
    (tmp_path / "metrics.csv").write_text("step,loss\n")
    assert is_failed_start(tmp_path)
    (tmp_path / "metrics.csv").write_text("step,loss\n1,0.5\n")
    assert holds_results(tmp_path)
