"""Loaders for training and evaluation."""

from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset
from torchdata.stateful_dataloader import StatefulDataLoader

from densekd.data.sampler import ONE_PROCESS, Shard, StepSampler
from densekd.data.segmentation import EvaluationSet, Sample, as_batch, evaluation_batch


def training_loader(dataset: Dataset[Any], sampler: StepSampler, workers: int) -> "StatefulDataLoader[Sample]":
    """Load augmented batches; its ``state_dict`` resumes in the middle of a pass, with or without workers.

    Samples are put together by the dataset's own ``collate``, if it has one.
    """
    collate = getattr(dataset, "collate", as_batch)
    return StatefulDataLoader(dataset, batch_sampler=sampler, collate_fn=collate, **_workers(workers))


def evaluation_loader(
    dataset: EvaluationSet, batch_size: int, workers: int, shard: Shard = ONE_PROCESS
) -> "DataLoader[Sample]":
    """Load every image once over all processes, none twice."""
    part = range(shard.rank, len(dataset), shard.world)
    subset = torch.utils.data.Subset(dataset, list(part))
    return DataLoader(subset, batch_size=batch_size, collate_fn=evaluation_batch, **_workers(workers))


def _workers(count: int) -> dict[str, Any]:
    return {"num_workers": count, "pin_memory": torch.cuda.is_available(), "persistent_workers": count > 0}
