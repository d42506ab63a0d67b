"""Initial weights as each family's source draws them; a file that is loaded replaces them.

What is not named here starts as torch's layers do: TorchDistiller's networks, the heads of CIRKD and
HWD, and the projections and the classifier of NVlabs' SegFormer.
"""

import math
from typing import Literal

from torch import nn

from densekd.models.blocks import JoinedConv2d

# Spread of the linear layers of Swin and SegFormer.
_LINEAR = 0.02
# Spread of OpenMMLab's classifiers.
_CLASSIFIER = 0.01


def initialize_head(head: nn.Module, init: Literal["openmmlab", "torch"]) -> None:
    """Initialize a head.

    Args:
        head: with a ``classifier``.
        init: ``openmmlab``: convolutions by Kaiming's normal distribution over the outputs, standard
            deviation ``sqrt(2 / (C_out k^2))`` (mmcv's ``ConvModule``); the classifier with 0.01 and
            bias 0 (mmsegmentation's ``BaseDecodeHead``). ``torch``: as torch made it.
    """
    if init == "torch":
        return
    classifier = head.get_submodule("classifier")
    assert isinstance(classifier, nn.Conv2d)
    for module in head.modules():
        if module is not classifier:
            kaiming_fan_out(module)
    nn.init.normal_(classifier.weight, std=_CLASSIFIER)
    _zero_bias(classifier)


def initialize_resnet(resnet: nn.Module, init: Literal["openmmlab", "kaiming", "torch"]) -> None:
    """Initialize timm's ResNet, which begins as ``openmmlab``'s.

    Args:
        resnet: as timm builds it.
        init: ``openmmlab``: convolutions by Kaiming's normal distribution over the outputs, the last
            norm of each block zero. ``kaiming``: that norm is 1 (CIRKD, HWD). ``torch``: and the
            convolutions are as torch makes them (TorchDistiller).
    """
    if init == "openmmlab":
        return
    for module in resnet.modules():
        if isinstance(module, nn.BatchNorm2d) or (isinstance(module, nn.Conv2d) and init == "torch"):
            module.reset_parameters()


def kaiming_fan_out(module: nn.Module) -> None:
    """Initialize a convolution as mmcv's ``kaiming_init`` does; leave everything else."""
    if isinstance(module, nn.Conv2d | JoinedConv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        _zero_bias(module)


def truncated_linear(module: nn.Module) -> None:
    """Initialize the linear layers in a module as Swin and SegFormer do: truncated normal, 0.02, no bias."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=_LINEAR)
            _zero_bias(layer)


def initialize_cirkd_decoder(head: nn.Module) -> None:
    """Initialize CIRKD's SegFormer decoder, whose rule for the encoder holds for all of it.

    Its projections are linear layers (here 1x1 convolutions), all else are convolutions: normal,
    ``sqrt(2 / C_out)``, the classifier among them.
    """
    for name, module in head.named_modules():
        if not isinstance(module, nn.Conv2d | JoinedConv2d):
            continue
        if name.startswith("projections"):
            nn.init.trunc_normal_(module.weight, std=_LINEAR)
            _zero_bias(module)
        else:
            kaiming_fan_out(module)


def initialize_mmseg_mit(encoder: nn.Module) -> None:
    """Initialize mmsegmentation's mix transformer where its layers are of other kinds than NVlabs'.

    Its feed-forward layers are 1x1 convolutions: normal, ``sqrt(2 / C_out)``. Queries, keys and
    values are one projection of ``nn.MultiheadAttention``: Xavier's uniform distribution over 3 C
    outputs.
    """
    for name, module in encoder.named_modules():
        if not isinstance(module, nn.Linear):
            continue
        if name.endswith((".fc1", ".fc2")):
            nn.init.normal_(module.weight, std=math.sqrt(2 / module.out_features))
        elif name.endswith((".q", ".kv")):
            bound = math.sqrt(6 / (4 * module.in_features))
            nn.init.uniform_(module.weight, -bound, bound)


def _zero_bias(layer: nn.Conv2d | nn.Linear | JoinedConv2d) -> None:
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
