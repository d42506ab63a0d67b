"""Loaders for training and evaluation."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, final

import torch
from torch.utils.data import DataLoader, Subset

from densekd.data.cache import SampleCache
from densekd.data.contract import EvaluationData
from densekd.data.picture import max_megapixels
from densekd.data.picture.limit import set_in_worker
from densekd.data.sampler import ONE_PROCESS, Shard, StepSampler
from densekd.data.waiting import Waiting
from densekd.data.watched import WatchedSamples
from densekd.errors import UserError


@final
class TrainingLoader:
    """Stateful data loader of augmented batches that resumes in the middle, by any number of workers.

    Its state is the number of batches that were read. What is in a batch depends on its number and not
    on who loads it, so that nothing else of an interrupted training has to come back.

    Args:
        dataset: samples by their draws, with a ``collate`` of its own.
        sampler: of the whole training.
        workers: loading processes; 0: this one loads.
        waiting: counts how long batches are awaited.
    """

    def __init__(self, dataset: Any, sampler: StepSampler, workers: int, waiting: Waiting | None = None) -> None:
        self.dataset = dataset
        self.sampler = sampler
        self.workers = workers
        self.waiting = waiting or Waiting()
        self.done = 0

    def __len__(self) -> int:
        """Return the number of batches of the whole training, those before an interruption included."""
        return self.sampler.batches

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches behind those that were read."""
        # There is one pass: loading processes that outlive it would be for nothing.
        settings = _workers(self.workers) | {"persistent_workers": False}
        rest = self.sampler.after(self.done)
        # What one loading process has decoded, the others read.
        cache = getattr(self.dataset, "cache", None)
        if isinstance(cache, SampleCache):
            cache.share(len(self.dataset), self.workers)
        watched: Any = WatchedSamples(self.dataset, self.workers)
        loaded = DataLoader(watched, batch_sampler=rest, collate_fn=self.dataset.collate, **settings)
        for batch in self.waiting.over(loaded):
            self.done += 1
            yield batch

    def beginning_with(self, batch: int) -> "TrainingLoader":
        """Return a loader of the same batches that begins with number ``batch``."""
        loader = TrainingLoader(self.dataset, self.sampler, self.workers)
        loader.load_state_dict({"batches": batch})
        return loader

    def state_dict(self) -> dict[str, int]:
        """Return how many batches were read; loading processes may be further."""
        return {"batches": self.done}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on behind the batches that were read.

        Args:
            state: of this class, or of torchdata's ``StatefulDataLoader`` in earlier checkpoints.

        Raises:
            UserError: neither.
        """
        self.done = _batches_of(state)


def _batches_of(state: Mapping[str, Any]) -> int:
    """Return how many batches were read, by the state of a loader."""
    try:
        if "batches" in state:
            return int(state["batches"])
        # Torchdata counts them in this process, or in snapshots of its loading processes.
        if "_num_yielded" in state:
            return int(state["_num_yielded"])
        return int(state["_snapshot"]["_snapshot_step"]) + int(state["_steps_since_snapshot"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            "The checkpoint does not say how many batches were read, so that the training cannot go on from it; it is "
            "of another version of densekd. Resume with that version, or begin anew with --overwrite."
        ) from error


def evaluation_loader(
    dataset: EvaluationData, batch_size: int, workers: int, shard: Shard = ONE_PROCESS
) -> "DataLoader[Any]":
    """Load every image once over all processes, none twice."""
    part = range(shard.rank, len(dataset), shard.world)
    watched: Any = WatchedSamples(dataset, workers)
    own: Any = Subset(watched, list(part))
    return DataLoader(own, batch_size=batch_size, collate_fn=dataset.collate, **_workers(workers))


def _workers(count: int) -> dict[str, Any]:
    settings = {"num_workers": count, "pin_memory": torch.cuda.is_available(), "persistent_workers": count > 0}
    # A loading process may not inherit the limit of what is decoded.
    return {**settings, "worker_init_fn": partial(set_in_worker, max_megapixels())}
