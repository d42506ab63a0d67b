"""Errors of loading processes name the image that was being read."""

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torch.utils.data import DataLoader, dataloader

from densekd.data.sampler import Draw
from densekd.data.watched import WatchedSamples, explain_lost
from densekd.errors import UserError

_ITEMS = tuple(SimpleNamespace(image=Path(f"images/{k:03}.png")) for k in range(4))

# torch raises where the signal of the dead process arrives, which may be where Python can only report it.
_DIES = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Samples:
    """Numbers; the third of them does what it is told."""

    files = SimpleNamespace(items=_ITEMS)

    def __init__(self, deed: Any) -> None:
        self.deed = deed

    def __len__(self) -> int:
        return len(_ITEMS)

    def __getitem__(self, key: Any) -> int:
        number = key.image if isinstance(key, Draw) else key
        if number == 2:
            self.deed()
        return int(number)


def _load(deed: Any, workers: int) -> list[Any]:
    watched: Any = WatchedSamples(Samples(deed), workers)
    return list(DataLoader(watched, num_workers=workers))


def _raise(error: Exception) -> Any:
    def deed() -> None:
        raise error

    return deed


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("error", "words"),
    [(KeyError("roads"), "KeyError: 'roads'"), (MemoryError(), "Out of memory."), (OSError("odd"), "OSError: odd")],
)
def test_an_error_is_one_line_that_names_the_image(error: Exception, words: str, workers: int) -> None:
    with pytest.raises(UserError, match=r"^images/002.png: no sample can be made of it: ") as raised:
        _load(_raise(error), workers)
    said = str(raised.value)
    assert words in said
    assert "\n" not in said
    assert "Caught" not in said


@pytest.mark.parametrize("workers", [0, 1])
def test_a_sentence_for_people_stays_as_it_is(workers: int) -> None:
    with pytest.raises(UserError, match=r"^labels/002.png: damaged$"):
        _load(_raise(UserError("labels/002.png: damaged")), workers)


def test_a_draw_is_named_by_its_image() -> None:
    with pytest.raises(UserError, match=r"^images/002.png"):
        WatchedSamples(Samples(_raise(ValueError("odd"))), 0)[Draw(2, 77)]


def _lost() -> BaseException:
    """Return what tells that a loading process was killed."""
    # It may die between two words to this process, which then tells of a broken connection.
    with pytest.raises((RuntimeError, ConnectionError, EOFError)) as raised:
        _load_and_wait(lambda: os.kill(os.getpid(), signal.SIGKILL))
    return raised.value


def _load_and_wait(deed: Any) -> None:
    try:
        _load(deed, 1)
    finally:
        # Torch's handler of the signal of its death raises, too: here, and not behind this.
        time.sleep(0.2)


@_DIES
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_the_image_of_a_killed_process_is_named() -> None:
    said = explain_lost(_lost())
    assert said is not None
    assert "was reading images/002.png" in said
    assert "\n" not in said


@_DIES
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_process_that_dies_while_it_hands_a_batch_over_is_named() -> None:
    _lost()
    broken = compile("raise ConnectionResetError(104, 'Connection reset by peer')", dataloader.__file__, "exec")
    with pytest.raises(ConnectionResetError) as raised:
        exec(broken)
    said = explain_lost(raised.value)
    assert said is not None
    assert "A process that reads data is gone; it was reading images/002.png" in said


def test_other_errors_are_no_lost_processes() -> None:
    assert explain_lost(RuntimeError("shapes do not fit")) is None
    # A connection that broke elsewhere.
    with pytest.raises(ConnectionResetError) as raised:
        raise ConnectionResetError(104, "Connection reset by peer")
    assert explain_lost(raised.value) is None


def test_asked_for_a_traceback_the_error_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DENSEKD_DEBUG", "1")
    with pytest.raises(KeyError):
        _load(_raise(KeyError("roads")), 0)
