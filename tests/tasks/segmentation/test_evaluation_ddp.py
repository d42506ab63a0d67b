"""Two processes count what one counts, and no image twice."""

from pathlib import Path

import pytest
import torch
from forked import in_two_processes
from tiny_data import make_folder
from torch import Tensor, nn

from densekd.data.folder import folder
from densekd.data.loaders import evaluation_loader
from densekd.data.maps import EvaluationSet
from densekd.data.sampler import Shard
from densekd.tasks import Segmentation


class Color(nn.Module):
    """Says 1 where red and 2 where green exceeds a half, else 0."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([torch.full_like(images[:, :1], 0.5), images[:, :2]], 1)


def count(rank: int, world: int, root: str, out: str) -> None:
    if world > 1:
        store = torch.distributed.FileStore(f"{out}/store", world)
        torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=world)
    task = Segmentation(3, 255)
    metric = task.metric()
    for samples in evaluation_loader(EvaluationSet(folder(Path(root), "val"), None), 2, 0, Shard(rank, world)):
        task.evaluate(Color(), samples, metric)
    metric.gather()
    torch.save(metric.counts, f"{out}/{world}-{rank}.pt")
    if world > 1:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize("images", [5, 2, 1])
def test_two_processes_equal_one(tmp_path: Path, images: int) -> None:
    root = make_folder(tmp_path / "data", {"val": images})
    count(0, 1, str(root), str(tmp_path))
    in_two_processes(count, 2, str(root), str(tmp_path))
    expected, *found = (torch.load(tmp_path / name, weights_only=True) for name in ("1-0.pt", "2-0.pt", "2-1.pt"))
    assert expected.sum() > 0
    assert all(torch.equal(one, expected) for one in found)
