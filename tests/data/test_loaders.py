from pathlib import Path
from typing import Any

import pytest
import torch

from densekd.data.folder import folder
from densekd.data.loaders import TrainingLoader, evaluation_loader
from densekd.data.maps import EvaluationSet, TrainingSet
from densekd.data.sampler import Shard, StepSampler
from densekd.data.transforms import RandomScaledCrop
from densekd.errors import UserError

STEPS = 5


def loader(root: Path, workers: int, cache_bytes: int = 0) -> Any:
    files = folder(root, "train")
    training = TrainingSet(files, None, RandomScaledCrop((16, 16), 0.75, 255), 0, cache_bytes)
    return TrainingLoader(training, StepSampler(len(files), 4, STEPS, 0, Shard()), workers)


def assert_equal(some: list[Any], others: list[Any]) -> None:
    assert len(some) == len(others)
    for one, other in zip(some, others, strict=True):
        assert torch.equal(one["images"], other["images"])
        assert torch.equal(one["target"], other["target"])


@pytest.fixture(scope="module")
def uninterrupted(data_root: Path) -> list[Any]:
    return list(loader(data_root, 0))


def test_batches_have_the_shape_that_a_task_reads(uninterrupted: list[Any]) -> None:
    assert len(uninterrupted) == STEPS
    for batch in uninterrupted:
        assert batch["images"].shape == (4, 3, 16, 16)
        assert batch["target"].shape == (4, 16, 16)
        assert batch["images"].dtype == batch["target"].dtype == torch.uint8


@pytest.mark.parametrize(("workers", "cache_bytes"), [(0, 10**9), (2, 0), (2, 10**9)])
def test_workers_and_cache_change_nothing(
    uninterrupted: list[Any], data_root: Path, workers: int, cache_bytes: int
) -> None:
    assert_equal(list(loader(data_root, workers, cache_bytes)), uninterrupted)


@pytest.mark.parametrize(("workers", "others"), [(0, 0), (0, 1), (1, 0), (2, 1), (1, 2), (2, 2), (0, 2)])
@pytest.mark.parametrize("read", [1, 3])
def test_a_state_resumes_in_the_middle(
    uninterrupted: list[Any], data_root: Path, workers: int, others: int, read: int
) -> None:
    interrupted = loader(data_root, workers)
    batches = iter(interrupted)
    before = [next(batches) for _ in range(read)]
    state = interrupted.state_dict()
    assert state == {"batches": read}
    resumed = loader(data_root, others)
    resumed.load_state_dict(state)
    assert len(resumed) == STEPS
    assert_equal(before + list(resumed), uninterrupted)


def test_nothing_is_left_behind_the_last_batch(data_root: Path) -> None:
    resumed = loader(data_root, 0)
    resumed.load_state_dict({"batches": STEPS})
    assert list(resumed) == []


@pytest.mark.parametrize(
    "state",
    [
        {"_iterator_finished": False, "_num_yielded": 3, "_sampler_iter_yielded": 3},
        {"_snapshot": {"_snapshot_step": 2, "_main_snapshot": {"_num_workers": 2}}, "_steps_since_snapshot": 1},
    ],
    ids=["without workers", "with workers"],
)
def test_states_of_torchdata_are_read(uninterrupted: list[Any], data_root: Path, state: dict[str, Any]) -> None:
    resumed = loader(data_root, 0)
    resumed.load_state_dict(state)
    assert_equal(list(resumed), uninterrupted[3:])


@pytest.mark.parametrize("state", [{}, {"batches": "many"}, {"_snapshot": None, "_steps_since_snapshot": 0}])
def test_another_state_is_refused(data_root: Path, state: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="does not say how many batches were read"):
        loader(data_root, 0).load_state_dict(state)


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_evaluation_covers_each_image_once_over_all_processes(data_root: Path, world: int) -> None:
    dataset = EvaluationSet(folder(data_root, "val"), None)
    shards = [evaluation_loader(dataset, 2, 0, Shard(rank, world)) for rank in range(world)]
    samples = [sample for shard in shards for batch in shard for sample in batch]
    wanted = [dataset[k].label for rank in range(world) for k in range(rank, 3, world)]
    assert len(samples) == 3
    assert all(torch.equal(sample.label, label) for sample, label in zip(samples, wanted, strict=True))


def test_evaluation_batches_hold_whole_samples(data_root: Path) -> None:
    batches = list(evaluation_loader(EvaluationSet(folder(data_root, "val"), (16, 16)), 2, 0))
    assert [len(batch) for batch in batches] == [2, 1]
    assert batches[0][0].image.shape == (3, 16, 16)
    assert batches[0][0].label.shape == (32, 48)
