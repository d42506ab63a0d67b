"""Claims: one process at a time, whoever starts when; what dead processes held is taken over once."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from densekd.run import lock
from densekd.run.lock_record import describe
from densekd.sweep.claims import Claims

ELSEWHERE = {"host": "another-machine", "process": 7, "start": "1", "boot": "another", "since": "today"}

RACE = """
import sys, time
from pathlib import Path
from densekd.sweep.claims import Claims
folder, start = Path(sys.argv[1]), float(sys.argv[2])
claims = Claims(folder / "claims")
time.sleep(max(0, start - time.time()))
got = [name for name in map(str, range(200)) if claims.take(name, folder / name)]
print(*got)
"""


def test_of_several_processes_exactly_one_gets_each_trial(tmp_path: Path) -> None:
    start = time.time() + 3
    command = [sys.executable, "-c", RACE, str(tmp_path), str(start)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    got = [name for one in started for name in one.communicate()[0].split()]
    assert sorted(got) == sorted(map(str, range(200)))


def test_a_claim_is_held_until_it_is_released(tmp_path: Path) -> None:
    claims = Claims(tmp_path / "claims")
    claim = claims.take("a", tmp_path / "a")
    assert claim is not None
    assert Claims(tmp_path / "claims").take("a", tmp_path / "a") is None
    assert (claims.holder("a") or {})["process"] == os.getpid()
    claim.release()
    assert claims.holder("a") is None
    # A name with points is no other trial's.
    assert claims.take("a.1", tmp_path / "a.1") is not None
    assert claims.take("a", tmp_path / "a") is not None


def test_what_a_dead_process_held_is_taken_once(tmp_path: Path) -> None:
    claims = Claims(tmp_path / "claims")
    code = RACE.replace("range(200)", "range(1)")
    subprocess.run([sys.executable, "-c", code, str(tmp_path), "0"], check=True, capture_output=True)
    # Both look at the same dead process; the second finds that the first has it.
    first, second = claims.take("0", tmp_path / "0"), claims.take("0", tmp_path / "0")
    assert first is not None
    assert second is None
    assert first.path.name == "0.1"
    assert first.previous["process"] != os.getpid()


def test_a_process_elsewhere_is_dead_when_it_gives_no_sign(tmp_path: Path) -> None:
    path, run = tmp_path / "claims" / "a.0", tmp_path / "a"
    path.parent.mkdir()
    path.write_text(json.dumps(ELSEWHERE))
    run.mkdir()
    (run / lock.NAME).write_text(json.dumps(ELSEWHERE))
    claims = Claims(path.parent, patience=0.3)
    for _ in range(4):
        # Whatever its clock says: while the file changes, the process lives.
        os.utime(path, ns=(1, time.monotonic_ns()))
        assert claims.take("a", run) is None
        time.sleep(0.15)
    time.sleep(0.3)
    claim = claims.take("a", run)
    assert claim is not None
    assert claim.previous == ELSEWHERE
    # The lock of its training is removed with it.
    assert not (run / lock.NAME).exists()


def test_a_training_by_hand_is_left_alone(tmp_path: Path) -> None:
    claims = Claims(tmp_path / "claims")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / lock.NAME).write_text(json.dumps(ELSEWHERE))
    assert claims.take("a", tmp_path / "a") is None
    with lock.locked(tmp_path / "b"):
        other = threading.Thread(target=_expect_none, args=(claims, tmp_path / "b"))
        other.start()
        other.join()


def _expect_none(claims: Claims, run: Path) -> None:
    assert claims.take("b", run) is None


def test_signs_of_life_change_the_file_and_end_with_the_claim(tmp_path: Path) -> None:
    claim = Claims(tmp_path).take("a", tmp_path / "run")
    assert claim is not None
    os.utime(claim.path, (0, 0))
    claim.begin(beat=0.05)
    time.sleep(0.4)
    assert claim.path.stat().st_mtime > 0
    claim.release()
    os.utime(claim.path, (0, 0))
    time.sleep(0.2)
    assert claim.path.stat().st_mtime == 0


def test_who_was_taken_for_dead_ends_at_once(tmp_path: Path) -> None:
    code = """
import sys, time
from pathlib import Path
from densekd.sweep.claims import Claims
folder = Path(sys.argv[1])
claim = Claims(folder).take("a", folder / "run")
claim.begin(beat=0.05)
(folder / "a.1").write_text("{}")
time.sleep(20)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 75
    assert "another process went on with this trial" in done.stderr


@pytest.mark.parametrize("text", ["", "nonsense", "[1]"])
def test_a_claim_that_is_not_written_yet_is_somebodys(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.0").write_text(text)
    claims = Claims(tmp_path, patience=0.1)
    assert claims.take("a", tmp_path / "run") is None
    time.sleep(0.2)
    assert claims.take("a", tmp_path / "run") is not None


def test_the_record_says_who_works(tmp_path: Path) -> None:
    claims = Claims(tmp_path)
    assert claims.take("a", tmp_path / "run") is not None
    record: dict[str, Any] = claims.holder("a") or {}
    assert {key: record[key] for key in ("host", "process")} == {key: describe()[key] for key in ("host", "process")}
    assert claims.left_by("a", os.getpid())
    assert not claims.left_by("a", 1)
    assert not claims.left_by("b", os.getpid())


def test_a_claim_says_whose_it_is_from_its_first_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []
    real = os.link

    def link(source: Path, target: Path) -> None:
        assert not target.exists()
        seen.append(json.loads(Path(source).read_text()))
        real(source, target)

    monkeypatch.setattr(os, "link", link)
    claims = Claims(tmp_path / "claims")
    assert claims.take("a", tmp_path / "a") is not None
    assert seen[0]["process"] == os.getpid()
    # Nothing is left beside it.
    assert [path.name for path in (tmp_path / "claims").iterdir()] == ["a.0"]


def test_file_systems_without_second_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(source: Path, target: Path) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", link)
    claims = Claims(tmp_path / "claims")
    assert claims.take("a", tmp_path / "a") is not None
    assert claims.take("a", tmp_path / "a") is None
    assert (claims.holder("a") or {})["process"] == os.getpid()
    assert [path.name for path in (tmp_path / "claims").iterdir()] == ["a.0"]


@pytest.mark.skipif(sys.platform != "linux", reason="the state of a process is read as Linux tells it")
def test_a_process_that_nobody_has_buried_is_dead(tmp_path: Path) -> None:
    claims = Claims(tmp_path / "claims")
    code = RACE.replace("range(200)", "range(1)") + "sys.stdout.flush(); time.sleep(60)\n"
    command = [sys.executable, "-c", code, str(tmp_path), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "0\n"
        assert claims.holder("0") is not None
        process.kill()
        # Its parent has not asked for its status yet: the system still lists it.
        deadline = time.monotonic() + 20
        while claims.holder("0") is not None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert claims.holder("0") is None
        os.kill(process.pid, 0)
