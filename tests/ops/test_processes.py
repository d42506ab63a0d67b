"""A mean over processes: alone, and with another process of the same numbers."""

from pathlib import Path

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
