"""An engine that crashes, raises, hangs or prints is an answer or an error, in a process of its own."""

import sys
from pathlib import Path

import numpy as np
import pytest
from exported_runs import BrokenEngine
from sessions_that_fail import CANNOT_LOAD, CHATTY, CRASHES, HANGS, RAISES, write_session

from densekd.export.process import EngineFailed, EngineProcess

IMAGE = np.random.default_rng(0).random((1, 3, 4, 5)).astype(np.float32)


def engine(folder: Path, text: str) -> BrokenEngine:
    return BrokenEngine(write_session(folder, text))


def test_arrays_come_back_whatever_the_engine_prints(tmp_path: Path) -> None:
    with EngineProcess(engine(tmp_path, CHATTY), tmp_path) as process:
        doubled, numbers = process.run(IMAGE)
        timing = process.time(IMAGE, runs=4, warmup=1)
    np.testing.assert_array_equal(doubled, IMAGE * 2)
    assert doubled.dtype == np.float32
    np.testing.assert_array_equal(numbers, [0, 1, 2])
    assert len(timing.seconds) == 4
    assert min(timing.seconds) > 0
    assert timing.peak_bytes > 1e6
    # numpy alone was imported there; what this process holds, with torch, is not counted.
    assert sys.platform != "linux" or timing.peak_bytes < 120e6


def test_crash(tmp_path: Path) -> None:
    crashed = pytest.raises(EngineFailed, match=r"crashed \(SIGSEGV\) while running it")
    with EngineProcess(engine(tmp_path, CRASHES), tmp_path) as process, crashed:
        process.run(IMAGE)


def test_file_that_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(EngineFailed, match=r"failed while loading it: RuntimeError: .*STABLEHLO_IOTA"):
        EngineProcess(engine(tmp_path, CANNOT_LOAD), tmp_path).__enter__()


def test_error_while_running_leaves_the_process_alive(tmp_path: Path) -> None:
    with EngineProcess(engine(tmp_path, RAISES), tmp_path) as process:
        for _ in range(2):
            with pytest.raises(EngineFailed, match="refuses to run it: ValueError: invalid index"):
                process.run(IMAGE)


def test_no_answer(tmp_path: Path) -> None:
    with EngineProcess(engine(tmp_path, HANGS), tmp_path) as process:
        process._limit = 0.5
        with pytest.raises(EngineFailed, match="no answer within"):
            process.run(IMAGE)
