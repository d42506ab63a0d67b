"""A mean over processes: alone, and with another process of the same numbers."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from densekd.ops.processes import mean_over_processes


def test_alone_it_is_the_value() -> None:
    assert mean_over_processes(torch.tensor(3.0)).item() == 3
    assert mean_over_processes(torch.tensor(0.25), least=1).item() == 1


def test_with_a_process_group_the_input_is_left_as_it_is(tmp_path: Path) -> None:
    x = torch.tensor(0.25)
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        assert mean_over_processes(x).item() == 0.25
        assert mean_over_processes(x, least=1).item() == 1
    finally:
        dist.destroy_process_group()
    assert x.item() == 0.25


def test_two_processes_share_the_least_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    # Another process with the same numbers: the sum is twice ours.
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "all_reduce", lambda total: total.mul_(2))
    assert mean_over_processes(torch.tensor(3.0), least=1).item() == 3
    # 0.25 + 0.25 is less than 1: each divides by half of that.
    assert mean_over_processes(torch.tensor(0.25), least=1).item() == 0.5
