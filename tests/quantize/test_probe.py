"""The probe: who makes a tensor, who reads it, and which layers are the output."""

import torch
from torch import Tensor, nn

from densekd.quantize.probe import probe_reads


class Net(nn.Module):
    """A residual sum in place, a norm that another operation reads around, and a head that is not returned."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.left = nn.Conv2d(4, 2, 1)
        self.right = nn.Conv2d(4, 2, 1)
        self.unread = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.act(self.norm(self.first(x)))
        y = self.second(x)
        y += x
        self.unread(y)
        return {"left": self.left(y), "right": self.right(y) * 2}


def test_makers_reads_and_last_layers() -> None:
    model = Net().train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    seen = probe_reads(model, torch.rand(1, 3, 8, 8))
    assert seen.last == {"left", "right"}
    assert seen.reaching == {"first", "second", "left", "right"}
    # The activation in place made what the second convolution reads; the sum in place was made by no module.
    assert seen.makers[seen.calls_of("second")[0].inputs[0]] == "act"
    assert seen.calls_of("left")[0].inputs[0] not in seen.makers
    first = seen.calls_of("first")[0].output
    assert first is not None
    assert seen.reads[first] == 1
    # Nothing is left behind.
    assert model.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
