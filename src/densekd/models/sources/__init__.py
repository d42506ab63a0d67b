"""Models of other libraries, named ``source:name``.

``SOURCES`` maps the prefix to a builder ``(name, ...) -> model``. Each model obeys the contract of
:mod:`densekd.models`, and besides:

- ``model.backbone`` is the part that ``pretrained`` fills and ``head_lr`` leaves alone;
- ``model.auxiliary``, where there is such a head, may be set to None;
- ``model.packaged``, where the recipe's own name and options would need a file, are those that
  rebuild it without;
- ``model.notes``, where there are any, are shown to people before the training.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from densekd.models.sources.huggingface import huggingface
from densekd.models.sources.smp import smp
from densekd.models.sources.timm import timm_backbone
from densekd.models.sources.torchvision import torchvision_model

SOURCES: dict[str, Callable[..., nn.Module]] = {
    "hf": huggingface,
    "smp": smp,
    "timm": timm_backbone,
    "torchvision": torchvision_model,
}


def names_weights(name: str, options: Mapping[str, Any]) -> bool:
    """Return True where a model's name means weights too: ``hf:`` without ``config``.

    All other names mean an architecture alone.
    """
    return name.startswith("hf:") and "config" not in options
