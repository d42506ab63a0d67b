"""Session files of engines that fail, each in its own way."""

from pathlib import Path

CRASHES = """
import os, signal
def open_session(folder, threads):
    def run(array):
        os.kill(os.getpid(), signal.SIGSEGV)
    return run
"""
CANNOT_LOAD = """
def open_session(folder, threads):
    raise RuntimeError("Didn't find op for builtin opcode 'STABLEHLO_IOTA'")
"""
RAISES = """
def open_session(folder, threads):
    def run(array):
        raise ValueError("invalid index")
    return run
"""
HANGS = """
import time
def open_session(folder, threads):
    def run(array):
        time.sleep(60)
    return run
"""
CHATTY = """
import numpy as np
def open_session(folder, threads):
    print("loading", folder, flush=True)
    def run(array):
        print("running", flush=True)
        return [np.asarray(array) * 2, np.arange(3)]
    return run
"""


def write_session(folder: Path, text: str) -> Path:
    """Write a session file and return it."""
    path = folder / "run_test.py"
    path.write_text(text)
    return path
