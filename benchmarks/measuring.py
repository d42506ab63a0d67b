"""Timing, peak memory and forecasts of a step; command line and result files that the benchmarks share."""

import argparse
import platform
import re
import statistics
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import flop_registry

from densekd.ops.boxes import Boxes

RESULTS = Path(__file__).parent / "results"

Step = Callable[[], object]


def random_boxes(batch: int, size: tuple[int, int], device: str) -> Boxes:
    """Return 7 boxes of one class (COCO's mean number) in each image of a height and width."""
    height, width = size
    extent = torch.tensor([width, height], device=device)
    corners = torch.rand(batch, 7, 2, 2, device=device).sort(2).values * extent
    labels = torch.zeros(batch, 7, dtype=torch.int64, device=device)
    sizes = torch.tensor([[height, width]], device=device).expand(batch, 2)
    return Boxes(list(corners.flatten(2)), list(labels), sizes)


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def seconds(step: Step, device: str, repeats: int, patience: float) -> tuple[float, int]:
    """Return the median time of a step after one warm-up, and the number of timed steps.

    These are ``repeats``, or fewer when ``patience`` (in seconds) runs out.
    """
    times: list[float] = []
    begun = time.perf_counter()
    # The first, which pays for caches and compilation, is taken but not counted.
    while len(times) <= repeats and (len(times) < 2 or time.perf_counter() - begun < patience):
        synchronize(device)
        start = time.perf_counter()
        step()
        synchronize(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:]), len(times) - 1


def peak_bytes(step: Step, device: str) -> int:
    """Peak memory of a step beyond what was allocated before, by torch's own counters."""
    if device == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step()
        return int(torch.cuda.max_memory_allocated() - before)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as record:
        step()
    assert record.profiler is not None
    # A CPU has no counter of the peak: it is the largest sum of all changes so far.
    events = record.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    return max(accumulate(change for _, change in changes), default=0)


class Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Memory and FLOP counter: bytes of the storages that operations return, while they are alive.

    Workspace inside an operation is not seen.

    Args:
        known: tensors that are not counted.

    Attributes:
        live: bytes that are alive.
        peak: the most at a time.
        total: all bytes so far.
        operations: multiplications and additions of matrix products and convolutions so far.
    """

    def __init__(self, known: Any = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = self.total = self.operations = 0
        self._known: set[int] = set()
        tree_map_only(Tensor, lambda x: self._known.add(x.untyped_storage()._cdata), known)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        tree_map_only(Tensor, self._count, out)
        if func.overloadpacket in flop_registry:
            self.operations += flop_registry[func.overloadpacket](*args, **(kwargs or {}), out_val=out)
        return out

    def _count(self, x: Tensor) -> None:
        storage = x.untyped_storage()
        key = storage._cdata
        size = storage.nbytes()
        # Views share the storage of their tensor, which counts once.
        if key in self._known:
            return
        self._known.add(key)
        self.live += size
        self.total += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size


@dataclass(frozen=True)
class Speed:
    """Throughput of the machine per second: FLOP of matrix products, bytes of an exponential."""

    operations: float
    bytes: float

    @staticmethod
    def of(device: str) -> "Speed":
        """Measure."""
        a = torch.randn(1024, 1024, device=device)
        x = torch.randn(1 << 23, device=device)
        product, _ = seconds(lambda: a @ a, device, 3, 60)
        pointwise, _ = seconds(x.exp, device, 3, 60)
        return Speed(2 * 1024**3 / product, x.nbytes / pointwise)


@dataclass(frozen=True)
class Forecast:
    """Estimate of a step: peak bytes at least, and roughly seconds."""

    bytes: int
    seconds: float


def forecast(step: Step, known: Any, speed: Speed) -> Forecast:
    """Estimate a step by running it on tensors of the device ``meta``, which compute nothing."""
    with Ledger(known) as ledger:
        step()
    return Forecast(ledger.peak, ledger.operations / speed.operations + ledger.total / speed.bytes)


def free_bytes(device: str) -> int:
    """Memory in bytes that can still be allocated; 8 GiB where the system does not tell."""
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    info = Path("/proc/meminfo")
    if not info.exists():
        return 8 << 30
    found = re.search(r"^MemAvailable:\s*(\d+) kB$", info.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def machine(device: str) -> dict[str, Any]:
    """Machine and versions that a result depends on."""
    name = torch.cuda.get_device_name() if device == "cuda" else processor()
    return {
        "device": device,
        "name": name,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"model name\s*: (.+)", info.read_text(encoding="utf-8"))
        if found:
            return found[1]
    return platform.processor() or platform.machine()


def common_parser(description: str | None, repeats: int) -> argparse.ArgumentParser:
    """Command line options that all measurements share."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--repeats", type=int, default=repeats, help="timed steps")
    made.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of the CPU")
    made.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    made.add_argument("--machine", help="in the name of the file; default: the device's name")
    made.add_argument("--results", type=Path, default=RESULTS)
    made.add_argument("--table", action="store_true", help="print the stored results and stop")
    return made


def result_path(kind: str, args: argparse.Namespace) -> Path:
    """Return where a measurement on this machine is written; its folder exists."""
    name = args.machine or f"{args.device}-{machine(args.device)['name']}"
    args.results.mkdir(parents=True, exist_ok=True)
    return Path(args.results) / f"{kind}-{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}.json"
