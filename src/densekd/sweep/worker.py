"""Process that works on a sweep's queue: ``python -m densekd.sweep.worker FOLDER``; others start it."""

import os
import signal
import sys
import threading
import time
import warnings
from pathlib import Path

from densekd.errors import UserError
from densekd.quiet import silence_libraries
from densekd.stopping import Stopped
from densekd.terminal import Terminal, prepare_streams
from densekd.trust import trust_modules

# Seconds between two looks whether the process that started this one lives.
_LOOK = 1.0


def run_worker(folder: Path, accelerator: str, devices: str, trust: tuple[str, ...] = (), waits: bool = True) -> int:
    """Work on the queue of a folder in this process; return how many trials it finished.

    Args:
        folder: of the sweep.
        accelerator: of each training.
        devices: as ``accelerator``.
        trust: modules that packages may name.
        waits: stay while others work, to go on with what they leave.

    Raises:
        UserError: no sweep, or stopped by a signal in a training.
        Stopped: stopped by a signal.
    """
    # Torch is imported here, not by whoever only looks at a sweep.
    from densekd.run.launch import Launch
    from densekd.sweep.queue import open_queue
    from densekd.sweep.work import Place, work

    warnings.filterwarnings("ignore")
    silence_libraries()
    trust_modules(trust)
    return work(open_queue(folder), Place(Launch(accelerator, devices), waits))


def end_with(parent: int) -> None:
    """Ask this process to stop, as a signal does, when the one that started it is gone."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def main(arguments: list[str]) -> int:
    """Run as a process of its own.

    Args:
        arguments: folder, accelerator, devices, process that started this one, trusted modules.
    """
    folder, accelerator, devices, parent, *trust = arguments
    prepare_streams()
    if os.name == "posix":
        end_with(int(parent))
    try:
        run_worker(Path(folder), accelerator, devices, tuple(trust))
    except (UserError, Stopped) as error:
        Terminal(stderr=True).print(f"error: {error}", highlight=False, soft_wrap=True)
        return error.code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
