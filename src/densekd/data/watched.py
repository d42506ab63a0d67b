"""The sample that each loading process is reading, for messages when reading fails or the process is killed."""

import multiprocessing
import os
import re
import traceback
from collections import deque
from collections.abc import Sequence
from multiprocessing.sharedctypes import RawArray
from typing import Any, NamedTuple

from torch.utils.data import dataloader, get_worker_info

from densekd.data.sampler import Draw
from densekd.errors import UserError
from densekd.explain import explain
from densekd.own_modules import place_of

# What torch says of a loading process that is gone: ``(pid 7) is killed by signal: Killed.``
_LOST = re.compile(r"DataLoader worker \(pid(?:\(s\))? (?P<processes>[\d, ]+)\) (?P<how>[^\n]*)")
# Sets of loading processes that are remembered: those of training and validation, and those before.
_REMEMBERED = 8
# Seconds between the last word of a killed process and its end.
_DYING = 0.2


class _Watch(NamedTuple):
    """What loading processes are reading: of each its process id, and 1 + the image's number (0: none)."""

    reading: Any
    items: Sequence[Any]


_watches: deque[_Watch] = deque(maxlen=_REMEMBERED)


class WatchedSamples:
    """Samples of a dataset, whose errors name the image; which one is being read is known outside.

    Args:
        dataset: samples by their draws, or by the numbers of images; its ``files`` name the images.
        workers: loading processes; 0: this one reads.
    """

    def __init__(self, dataset: Any, workers: int) -> None:
        self.dataset = dataset
        # Memory that the loading processes share with this one; each writes its own two numbers.
        self.reading = RawArray("q", 2 * max(1, workers))
        self.items = getattr(getattr(dataset, "files", None), "items", ())
        if workers:
            _watches.append(_Watch(self.reading, self.items))

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.dataset)

    def __getitem__(self, key: Any) -> Any:
        """Return a sample.

        Raises:
            UserError: it cannot be made; the image is named.
        """
        number = key.image if isinstance(key, Draw) else int(key)
        worker = get_worker_info()
        slot = 0 if worker is None else 2 * worker.id
        self.reading[slot : slot + 2] = (os.getpid(), number + 1)
        try:
            sample = self.dataset[key]
        except UserError:
            raise
        except Exception as error:
            # A traceback of a loading process is for those who ask for it.
            if os.environ.get("DENSEKD_DEBUG") == "1":
                raise
            raise UserError(f"{_name(self.items, number)}: no sample can be made of it: {_reason(error)}") from error
        # What ends a process by itself leaves the number standing.
        self.reading[slot + 1] = 0
        return sample


def explain_lost(error: BaseException) -> str | None:
    """Say which image a loading process was reading when it was killed; None for any other error.

    Args:
        error: what torch raised, anywhere in this process.
    """
    broken = _is_of_loader(error)
    if broken:
        error = _last_word(error)
    found = _LOST.search(str(error))
    if found is not None:
        processes = {int(number) for number in re.findall(r"\d+", found["processes"])}
        how = found["how"].partition(". It is possible")[0].rstrip(" .")
    elif broken:
        processes = _known() - {child.pid for child in multiprocessing.active_children()}
        how = "is gone"
    else:
        return None
    names = _read_by(processes)
    doing = f"was reading {', '.join(names)}" if names else "was between two samples"
    return (
        f"A process that reads data {how}; it {doing}. Mostly memory was short: use fewer (data.workers, or --workers) "
        "or a smaller data.cache; or what reads that image crashed: data.workers=0 shows it. Go on with --resume."
    )


def _is_of_loader(error: BaseException) -> bool:
    """Tell whether a connection broke where batches are fetched: a process died while it handed one over."""
    if not isinstance(error, ConnectionError | EOFError):
        return False
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_code.co_filename == dataloader.__file__ for frame, _ in frames)


def _last_word(error: BaseException) -> BaseException:
    """Wait for the end of a dying process; return what torch says of it, which comes by a signal, or the error."""
    try:
        for child in multiprocessing.active_children():
            if child.pid in _known():
                child.join(_DYING)
    except RuntimeError as late:
        return late
    return error


def _known() -> set[int]:
    """Return the process ids of all loading processes that are remembered."""
    return {watch.reading[slot] for watch in _watches for slot in range(0, len(watch.reading), 2)}


def _read_by(processes: set[int]) -> list[str]:
    """Return the images that some loading processes are reading."""
    names: list[str] = []
    for watch in _watches:
        for slot in range(0, len(watch.reading), 2):
            process, number = watch.reading[slot : slot + 2]
            if process in processes and number > 0:
                names.append(_name(watch.items, number - 1))
    return names


def _name(items: Sequence[Any], number: int) -> str:
    """Return where an image is, or its number where the dataset does not say."""
    if number < len(items):
        return str(getattr(items[number], "image", f"sample {number}"))
    return f"sample {number}"


def _reason(error: Exception) -> str:
    """Say why, in plain words where they are known."""
    explained = explain(error)
    if explained is not None:
        return explained
    said = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {said}{place_of(error)}. --debug shows where."
