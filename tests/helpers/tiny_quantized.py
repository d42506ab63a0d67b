"""Small networks that are quantized, with statistics and ranges that are not those of the beginning."""

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from densekd.models import find_model
from densekd.quantize import apply_plan, calibrate, make_plan

TINY = {
    "fpn": ("fpn", {"num_classes": 5, "backbone": "resnet18_025", "channels": 16}),
    "pspnet": ("pspnet", {"num_classes": 5, "backbone": "resnet18_025", "channels": 16, "auxiliary_channels": 8}),
    "segformer": ("segformer", {"num_classes": 5, "channels": 32}),
    "gfl": ("gfl", {"num_classes": 5, "backbone": "resnet18_025", "channels": 32, "depth": 1}),
}


def tiny_float(name: str, size: int = 64) -> nn.Module:
    """Return a network whose batch norms have seen images, and have gammas of both signs and of zero."""
    torch.manual_seed(0)
    kind, options = TINY[name]
    model = find_model(kind)(**options)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.copy_(torch.linspace(-0.5, 1.5, len(module.weight)))
                module.weight[1] = 0
                module.bias.uniform_(-0.5, 0.5)
    model.train()
    with torch.no_grad():
        for _ in range(2):
            model(torch.rand(2, 3, size, size))
    return model.eval()


def tiny_quantized(name: str, size: int = 64, **settings: object) -> nn.Module:
    """Return the same network, quantized and calibrated."""
    model = tiny_float(name, size)
    apply_plan(model, make_plan(model, torch.rand(1, 3, size, size), **settings))  # type: ignore[arg-type]
    calibrate(model, [torch.rand(2, 3, size, size) for _ in range(2)])
    return model.eval()


class Tensors(nn.Module):
    """A model whose output is a tuple of tensors, whatever it was."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(leaf for leaf in _leaves(self.model(images)) if isinstance(leaf, Tensor))


def _leaves(output: object) -> list[object]:
    if hasattr(output, "cls") and hasattr(output, "reg"):
        return [*output.cls, *output.reg]
    return tree_leaves(output)
