"""A process of two that observes its own images."""

from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

from densekd.quantize import apply_plan, calibrate, make_plan, observe, quantizers, update_ranges


def write_ranges(rank: int, folder: Path) -> None:
    """Write the ranges after a step in which each process saw others."""
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    model = nn.Sequential(nn.Identity(), nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1))
    apply_plan(model, make_plan(model, torch.rand(1, 3, 4, 4)))
    calibrate(model, [torch.linspace(0, 1, 48).view(1, 3, 4, 4)])
    observe(model, True)
    model(torch.full((1, 3, 4, 4), 3.0 if rank else -2.0))
    update_ranges(model, 0.5)
    first = quantizers(model)[0]
    (folder / f"{rank}.txt").write_text(f"{first.low.item()} {first.high.item()}")
    dist.destroy_process_group()
