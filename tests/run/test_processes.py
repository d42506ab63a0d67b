"""Processes of one training: one that ends before all have met does not leave the others waiting."""

import os

import pytest
from forked import Forked, run_python

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX systems")

_WAITS = """
import subprocess, sys, time
from types import SimpleNamespace
from densekd.run import processes
processes._PATIENCE = 1
launcher = SimpleNamespace(procs=[])
trainer = SimpleNamespace(world_size=2, strategy=SimpleNamespace(launcher=launcher))
with processes.end_of_others(trainer):
    launcher.procs = [subprocess.Popen([sys.executable, "-c", "{code}"])]
    {then}
print("went on")
"""


def outcome(code: str, then: str) -> tuple[int, str, str]:
    program = _WAITS.format(code=code, then=then)
    done = run_python("-c", program)
    return done.returncode, done.stdout.strip(), done.stderr.strip()


@pytest.mark.parametrize(
    ("code", "how"), [("import os; os.kill(os.getpid(), 9)", "signal 9"), ("raise SystemExit(3)", "status 3")]
)
def test_a_process_that_waits_ends_with_the_one_that_it_waits_for(code: str, how: str) -> None:
    status, _, said = outcome(code, "time.sleep(60)")
    assert (status, said) == (
        1,
        f"error: Another process of this training has ended ({how}); continue with --resume.",
    )


def test_a_process_that_is_done_ends_nobody() -> None:
    assert outcome("pass", "time.sleep(3)") == (0, "went on", "")


def test_what_waits_for_a_failed_process_is_ended() -> None:
    then = "raise ValueError('port in use')"
    status, _, said = outcome("import time; time.sleep(100)", then)
    assert status == 1
    assert said.endswith("ValueError: port in use")


def test_a_process_that_nobody_reads_ends_all_the_same() -> None:
    # Whoever started it is gone, and with it the other end of the pipe.
    unread = "import os\nreading, writing = os.pipe()\nos.dup2(writing, 2)\nos.close(writing)\nos.close(reading)\n"
    program = unread + _WAITS.format(code="raise SystemExit(3)", then="time.sleep(60)")
    assert Forked("-c", program).wait(timeout=50) == 1
