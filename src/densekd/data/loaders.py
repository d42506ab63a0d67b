"""Loaders for training and evaluation."""

from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader, Subset
from torchdata.stateful_dataloader import StatefulDataLoader

from densekd.data.contract import EvaluationData
from densekd.data.picture import max_megapixels
from densekd.data.picture.limit import set_in_worker
from densekd.data.sampler import ONE_PROCESS, Shard, StepSampler


def training_loader(dataset: Any, sampler: StepSampler, workers: int) -> "StatefulDataLoader[Any]":
    """Load augmented batches.

    Its ``state_dict`` resumes in the middle of a pass, with or without workers.

    Samples are put together by the dataset's own ``collate``.
    """
    return StatefulDataLoader(dataset, batch_sampler=sampler, collate_fn=dataset.collate, **_workers(workers))


def evaluation_loader(
    dataset: EvaluationData, batch_size: int, workers: int, shard: Shard = ONE_PROCESS
) -> "DataLoader[Any]":
    """Load every image once over all processes, none twice."""
    part = range(shard.rank, len(dataset), shard.world)
    own: Any = Subset(dataset, list(part))  # type: ignore[arg-type]  # it is indexed by number alone
    return DataLoader(own, batch_size=batch_size, collate_fn=dataset.collate, **_workers(workers))


def _workers(count: int) -> dict[str, Any]:
    settings = {"num_workers": count, "pin_memory": torch.cuda.is_available(), "persistent_workers": count > 0}
    # A loading process may not inherit the limit of what is decoded.
    return {**settings, "worker_init_fn": partial(set_in_worker, max_megapixels())}
