"""Where a training runs: what this machine does not have is said before anything is done."""

from typing import Any

import pytest
import torch

from densekd.errors import UserError
from densekd.run.launch import Launch


@pytest.mark.parametrize(
    "launch",
    [
        Launch(),
        Launch("cpu", "2", 2, "ddp"),
        Launch("cuda", "2"),
        Launch("gpu", "0,1"),
        Launch("gpu", "1,"),
        Launch("auto", "-1"),
        Launch("gpu", "2", 1, "fsdp"),
    ],
)
def test_what_two_gpus_can_run(monkeypatch: pytest.MonkeyPatch, launch: Launch) -> None:
    two_gpus(monkeypatch)
    launch.require_possible()


@pytest.mark.parametrize(
    ("launch", "message"),
    [
        (Launch("cuda", "3"), "--devices 3: this machine has 2 GPUs"),
        (Launch("auto", "0,2"), "--devices 0,2: this machine has 2 GPUs, counted from 0"),
        (Launch("mps"), "--accelerator mps: this machine has none that torch .* Here there is: auto, cpu, gpu, cuda"),
        (Launch("cpu", "1", 1, "fsdp"), "--strategy fsdp needs GPUs"),
        (Launch("GPU"), "--accelerator GPU: unknown accelerator"),
        (Launch(devices="two"), "--devices two: write a number"),
        (Launch(devices=""), "--devices : write a number"),
        (Launch(nodes=-1), "--nodes -1"),
        (Launch(strategy=""), "--strategy : unknown strategy"),
    ],
)
def test_what_two_gpus_cannot_run(monkeypatch: pytest.MonkeyPatch, launch: Launch, message: str) -> None:
    two_gpus(monkeypatch)
    with pytest.raises(UserError, match=message):
        launch.require_possible()


def test_apples_gpu_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    for accelerator in ("auto", "gpu", "mps"):
        Launch(accelerator, "1").require_possible()
    with pytest.raises(UserError, match="--devices 2: this machine has 1 GPUs"):
        Launch("mps", "2").require_possible()


def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend to be a machine with two GPUs of NVIDIA's."""

    def answer(value: Any) -> Any:
        return lambda: value

    monkeypatch.setattr(torch.cuda, "is_available", answer(True))
    monkeypatch.setattr(torch.cuda, "device_count", answer(2))
    monkeypatch.setattr(torch.backends.mps, "is_available", answer(False))
