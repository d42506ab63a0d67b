"""Mutated files of every reader: a result or a message for people, soon and in little memory; never another error.

The mutations are the same in each run. ``DENSEKD_EXAMPLES=1000 pytest tests/test_fuzz.py`` draws new ones.
"""

import os
import time
import warnings
from pathlib import Path

import pytest
from fuzzed_readers import READERS, Reader
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from densekd.errors import UserError

EXAMPLES = int(os.environ.get("DENSEKD_EXAMPLES", "25"))
# Of the processor, whose time others do not take.
SECONDS = 5


@pytest.mark.parametrize("name", READERS)
def test_a_mutated_file_is_read_or_refused(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    reader = READERS[name]
    root = tmp_path_factory.mktemp("fuzz")
    path = reader.make(root)
    valid = path.read_bytes()
    # What is mutated is read as it is.
    reader.read(root)

    @settings(
        max_examples=EXAMPLES,
        derandomize="DENSEKD_EXAMPLES" not in os.environ,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def look(data: st.DataObject) -> None:
        mutated = reader.mutate(data, valid)
        path.write_bytes(mutated)
        note(f"{path.name}: {mutated[:2000]!r}")
        _read(reader, root)

    look()


def _read(reader: Reader, root: Path) -> None:
    started = time.process_time()
    said = ""
    try:
        # Warnings of libraries about odd content are theirs; the command line does not show them.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.read(root)
    except UserError as error:
        said = str(error)
    assert "object at 0x" not in said
    assert time.process_time() - started < SECONDS
