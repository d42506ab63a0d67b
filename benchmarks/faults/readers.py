"""Hostile and mutated files: the tests of every reader, with as many examples as asked for."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

from faults.outcome import Outcome

ROOT = Path(__file__).parents[2]
# What the tests of an area are called; each draws ``DENSEKD_EXAMPLES`` examples per reader.
TESTS = {
    "hostile": ["tests/test_hostile.py"],
    "bombs": ["tests/parsers", "tests/models/checkpoints/test_sizes.py"],
    "fuzz": ["tests/test_fuzz.py"],
}


def reader_trials(area: str, folder: Path, examples: int) -> Iterator[Outcome]:
    """Run the tests of an area in a process of their own; each test is one trial.

    Args:
        area: a key of :data:`TESTS`.
        folder: where their protocol is written.
        examples: mutated files for each reader.
    """
    protocol = folder / "protocol.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "--timeout", "0", f"--junitxml={protocol}", *TESTS[area]]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"DENSEKD_EXAMPLES": str(examples)}, check=False)
    if not protocol.is_file():
        yield Outcome(area, "crash", "the tests' process left no protocol")
        return
    for case in ElementTree.parse(protocol).iter("testcase"):
        failure = next((part for part in case if part.tag in ("failure", "error")), None)
        if any(part.tag == "skipped" for part in case):
            continue
        name = str(case.get("name"))
        if failure is None:
            yield Outcome(name, "message")
        else:
            yield Outcome(name, "raw", (failure.text or "")[-2000:])
