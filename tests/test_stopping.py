"""Stop signals: noted or obeyed, in the main process alone, and given back."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from densekd.stopping import Interrupted, Stopped, StopRequest, known_signals, stop_at_once, stop_signals

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX systems")


@pytest.fixture(autouse=True)
def _hang_up_counts() -> Iterator[None]:
    """Tests may be run by nohup, which ignores the signal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_noted_and_the_handlers_are_given_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    request = StopRequest()
    with request.listening():
        os.kill(os.getpid(), number)
        assert request.number == number
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_the_status_is_that_of_a_shell(number: signal.Signals, code: int) -> None:
    with pytest.raises(Stopped, match="enough") as stopped, stop_signals(stop_at_once("enough")):
        os.kill(os.getpid(), number)
    assert stopped.value.code == code
    assert Interrupted("x", number).code == code


def test_handlers_that_a_library_replaced_are_taken_back() -> None:
    request = StopRequest()
    with request.listening():
        signal.signal(signal.SIGTERM, lambda number, frame: pytest.fail("the library's"))
        request.listen()
        os.kill(os.getpid(), signal.SIGTERM)
    assert request.number == signal.SIGTERM


def test_inner_handlers_end_before_outer_ones() -> None:
    request = StopRequest()
    with stop_signals(stop_at_once("outer")):
        with request.listening():
            os.kill(os.getpid(), signal.SIGTERM)
        assert request.number == signal.SIGTERM
        with pytest.raises(Stopped, match="outer"):
            os.kill(os.getpid(), signal.SIGTERM)


def test_after_everything_is_saved_a_signal_says_nothing_new() -> None:
    request = StopRequest()
    request.note(signal.SIGINT)
    request.obeyed = True
    request.note(signal.SIGTERM)
    assert request.number == signal.SIGINT


def test_nohup_keeps_its_word() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        request = StopRequest()
        with request.listening():
            os.kill(os.getpid(), signal.SIGHUP)
        assert request.number == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_change_no_handler() -> None:
    before = [signal.getsignal(number) for number in known_signals()]
    seen = []

    def work() -> None:
        with StopRequest().listening():
            seen.extend(signal.getsignal(number) for number in known_signals())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == before


def test_a_second_signal_ends_at_once() -> None:
    code = (
        "import os, signal, time\n"
        "from densekd.stopping import StopRequest\n"
        "request = StopRequest()\n"
        "with request.listening():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "print('went on')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (143, "")
    assert done.stderr.strip() == "error: Stopped at once, by a second signal; the last checkpoint is kept."


def test_a_loading_process_lets_its_owner_stop() -> None:
    code = (
        "import os, signal, time\n"
        "from densekd.stopping import stop_at_once, stop_signals\n"
        "with stop_signals(stop_at_once('x')):\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        os.kill(os.getpid(), signal.SIGHUP)\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        os._exit(7)\n"
        "    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "7"
