"""Arithmetic of a training on a GPU: as fast as its precision allows, or the same bits in every run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# What cuBLAS needs to give the same bits; read when its first handle is made.
_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


@contextmanager
def arithmetic(deterministic: bool, device: torch.device) -> Iterator[None]:
    """Choose within a ``with`` block how operations are computed; what was chosen before returns after it.

    On a CPU nothing changes but that operations without a reproducible form are refused.

    Args:
        deterministic: only operations that give the same bits each time. Else a GPU multiplies float32
            matrices in TF32 (10 bits of the mantissa, as its convolutions do by default) and
            searches for the fastest convolution of each shape; shapes are the same in every step.
        device: that the training runs on.
    """
    cudnn = torch.backends.cudnn
    before = (torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision(), cudnn.benchmark)
    try:
        if deterministic:
            os.environ.setdefault(_WORKSPACE, ":4096:8")
            torch.use_deterministic_algorithms(True)
            cudnn.benchmark = False
        elif device.type == "cuda":
            torch.set_float32_matmul_precision("high")
            cudnn.benchmark = True
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.set_float32_matmul_precision(before[1])
        cudnn.benchmark = before[2]
