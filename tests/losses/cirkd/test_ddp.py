"""Two processes on gloo: the queues are identical on both, and those of one process on the joined batch."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from forked import in_two_processes
from torch import Tensor

from densekd.losses.cirkd.channel import CIRKDChannel
from densekd.losses.cirkd.memory import CIRKDMemory

STEPS = 3
VOID = 255


def train(rank: int, world: int) -> dict[str, Tensor]:
    """See this process' share of three batches of four images; return all queues, pointers and counters."""
    torch.manual_seed(0)
    memory, channel = CIRKDMemory(3, 4, 3, VOID, 40, 5, 20, 5), CIRKDChannel(3, 4, (6, 8), 30, 10, 7)
    generator = torch.Generator().manual_seed(1)
    # Nothing may depend on the state of a process' own generator.
    torch.manual_seed(100 + rank)
    for _ in range(STEPS):
        student, teacher = (torch.randn(4, C, 6, 8, generator=generator).chunk(world)[rank] for C in (3, 4))
        labels = torch.randint(3, (4, 12, 16), generator=generator)
        labels[:, :3] = VOID
        labels[1][labels[1] == 0] = 2
        memory(student, teacher, labels.chunk(world)[rank])
        channel(student, teacher, None)
    losses = {"memory": memory, "channel": channel}
    return {
        f"{where}.{name}": buffer
        for where, loss in losses.items()
        for name, buffer in loss.named_buffers()
        if not name.startswith("project_head.")
    }


def worker(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.save(train(rank, 2), f"{folder}/rank{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.timeout(300)
def test_queues_are_identical_on_both_ranks_and_equal_one_process(tmp_path: Path) -> None:
    in_two_processes(worker, str(tmp_path))
    first, second = (torch.load(tmp_path / f"rank{rank}.pt") for rank in range(2))
    alone = train(0, 1)
    assert first.keys() == alone.keys()
    assert sum(name.endswith("keys") for name in alone) == 3
    for name, value in alone.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], value, rtol=1e-6, atol=1e-6, msg=name)
    assert alone["channel.channels.pointer"].tolist() == [21]
    assert alone["memory.memory.pixels.pointer"].max().item() > 0
