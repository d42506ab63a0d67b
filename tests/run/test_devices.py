"""Which device models are scored on."""

import pytest
import torch

from densekd.errors import UserError
from densekd.run.devices import named_device, training_device
from densekd.run.launch import Launch


@pytest.fixture
def _gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.usefixtures("_gpus")
def test_the_first_process_is_on_the_first_gpu_that_was_chosen() -> None:
    assert training_device() == torch.device("cuda", 0)
    assert training_device(Launch("auto", "2")) == torch.device("cuda", 0)
    assert training_device(Launch("gpu", "1,0")) == torch.device("cuda", 1)
    assert training_device(Launch("cuda", "-1")) == torch.device("cuda", 0)
    assert training_device(Launch("cuda", "1,")) == torch.device("cuda", 1)
    assert training_device(Launch("cpu", "1")) == torch.device("cpu")
    assert training_device(Launch("mps", "1")) == torch.device("cpu")


def test_without_a_gpu_it_is_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert training_device() == training_device(Launch("auto", "2")) == named_device("auto") == torch.device("cpu")


@pytest.mark.usefixtures("_gpus")
def test_a_named_device() -> None:
    assert named_device("auto") == torch.device("cuda", 0)
    assert named_device("cpu") == torch.device("cpu")
    assert named_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(UserError, match=r"^--device cuda:2: is not on this machine\. Here there is: cpu, cuda"):
        named_device("cuda:2")
    with pytest.raises(UserError, match=r"^--device gpus: no device; write auto, cpu, cuda"):
        named_device("gpus")
