"""One lock for a folder: other processes and threads are refused, locks of the dead are taken over."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from densekd.errors import UserError
from densekd.run import lock, lock_record
from densekd.run.lock import locked, require_unlocked

HOLD = """
import sys, time
from pathlib import Path
from densekd.run.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock of ``tmp_path/run``."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "run"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def write(folder: Path, **record: Any) -> Path:
    """Write the record of a lock that the system gives away."""
    folder.mkdir(exist_ok=True)
    path = folder / lock.NAME
    path.write_text(json.dumps({"host": "elsewhere", "process": 7, "since": "2026-11-28T10:00:00+00:00"} | record))
    return path


def test_a_lock_comes_and_goes(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with locked(run):
        record = json.loads((run / lock.NAME).read_text())
        assert record["process"] == os.getpid()
        # A training inside of a quickstart, and a look at one's own lock.
        with locked(run):
            require_unlocked(run)
        assert (run / lock.NAME).is_file()
    assert list(run.iterdir()) == []
    require_unlocked(run)


def test_another_process_is_refused_and_named(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    message = rf"another training runs in it: process {holder.pid} on .*, since 20"
    with pytest.raises(UserError, match=message), locked(tmp_path / "run"):
        pass
    with pytest.raises(UserError, match=message):
        require_unlocked(tmp_path / "run")
    assert json.loads((tmp_path / "run" / lock.NAME).read_text())["process"] == holder.pid


def test_a_killed_process_holds_nothing(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / "run" / lock.NAME).is_file()
    require_unlocked(tmp_path / "run")
    with locked(tmp_path / "run"):
        assert json.loads((tmp_path / "run" / lock.NAME).read_text())["process"] == os.getpid()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_processes_do_not_keep_the_lock(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with locked(run):
        child = os.fork()
        if child == 0:
            signal.pause()
        try:
            # As after kill -9 of the training, whose loading processes live on for seconds.
            lock._forget()
            require_unlocked(run)
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def test_a_second_thread_is_refused(tmp_path: Path) -> None:
    found: list[str] = []

    def take() -> None:
        try:
            with locked(tmp_path):
                found.append("taken")
        except UserError as error:
            found.append(str(error))

    with locked(tmp_path):
        other = threading.Thread(target=take)
        other.start()
        other.join()
    assert "another training of this process runs in it" in found[0]


def test_of_another_machine_a_person_decides(tmp_path: Path) -> None:
    path = write(tmp_path / "run", boot="another")
    message = f"process 7 on elsewhere, since 2026.* cannot be seen .* remove {path} and start again"
    with pytest.raises(UserError, match=message), locked(tmp_path / "run"):
        pass
    path.unlink()
    with locked(tmp_path / "run"):
        pass


def test_a_restarted_machine_or_container_or_job_is_recognized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    monkeypatch.setattr("platform.node", lambda: "here")
    # The same name after a reboot; another name under the same kernel, as of a container.
    write(run, host="here", boot="before", process=os.getpid())
    require_unlocked(run)
    write(run, host="container", boot=lock_record._boot())
    require_unlocked(run)
    # SLURM ended the job before it started it again on another node.
    write(run, host="node1", boot="another", job="12", restart=0)
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    with pytest.raises(UserError, match="cannot be seen"):
        require_unlocked(run)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    require_unlocked(run)


def test_without_locks_of_the_system_the_record_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    monkeypatch.setattr(lock, "_lock_by_system", lambda descriptor: None)
    this = {"host": "here", "boot": lock_record._boot()}
    monkeypatch.setattr("platform.node", lambda: "here")
    # Alive, with this start: in use. Another start: another process has the number by now.
    write(run, **this, process=os.getpid(), start=lock_record._start(os.getpid()))
    with pytest.raises(UserError, match=f"another training runs in it: process {os.getpid()}"):
        require_unlocked(run)
    write(run, **this, process=os.getpid(), start="1")
    require_unlocked(run)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    write(run, **this, process=ended.pid, start="1")
    require_unlocked(run)


@pytest.mark.parametrize("content", ["", "{", "[]", "\0" * 100, "[" * 100_000])
def test_a_torn_record_is_nobodys(tmp_path: Path, content: str) -> None:
    (tmp_path / lock.NAME).write_text(content)
    with locked(tmp_path):
        pass


def test_systems_without_fcntl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    calls: list[tuple[int, int]] = []

    class Msvcrt:
        LK_NBLCK = 2

        @staticmethod
        def locking(descriptor: int, mode: int, count: int) -> None:
            calls.append((mode, count))
            if len(calls) > 1:
                raise PermissionError

    monkeypatch.setitem(sys.modules, "msvcrt", Msvcrt)  # type: ignore[arg-type]
    with locked(tmp_path / "run"):
        assert calls == [(2, 1)]
    write(tmp_path / "run")
    with pytest.raises(UserError, match="another training runs in it: process 7 on elsewhere"):
        require_unlocked(tmp_path / "run")


def test_a_renamed_folder_stays_locked(tmp_path: Path) -> None:
    with locked(tmp_path / "new"):
        (tmp_path / "new").rename(tmp_path / "run")
        lock.moved(tmp_path / "new", tmp_path / "run")
        with locked(tmp_path / "run"):
            pass
        assert (tmp_path / "run" / lock.NAME).is_file()
    assert list((tmp_path / "run").iterdir()) == []


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("instead", [_pipe, _device, Path.mkdir])
def test_what_is_no_file_is_no_lock(tmp_path: Path, instead: Callable[[Path], None]) -> None:
    instead(tmp_path / lock.NAME)
    with pytest.raises(UserError, match="is no file"):
        require_unlocked(tmp_path)
