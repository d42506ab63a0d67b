"""ImageNet weights for a backbone, from timm's hub or a local file."""

import timm
from torch import nn

from densekd.errors import UserError
from densekd.models.checkpoints.download import located
from densekd.models.checkpoints.imagenet import as_backbone
from densekd.models.checkpoints.load import match, read_state


def load_pretrained(backbone: nn.Module, source: str) -> None:
    """Load ``source`` into ``backbone``; its classifier is dropped, everything else must fit.

    Args:
        backbone: changed in place.
        source: a local file or its URL (see :func:`densekd.models.checkpoints.download.located`), or a timm model name
            such as ``resnet18.a1_in1k``, ``hf-hub:owner/name`` or ``local-dir:folder``.

    Raises:
        UserError: the name is unknown, cannot be fetched, or its weights do not fit.
    """
    path = located(source)
    if path.is_file():
        state = read_state(path)
    else:
        try:
            state = dict(timm.create_model(source, pretrained=True).state_dict())
        except (RuntimeError, OSError, ValueError, KeyError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise UserError(
                f"pretrained: {source} is no local file and could not be had from timm's hub ({reason})."
            ) from error
    state = as_backbone(state, backbone.state_dict())
    found = match(backbone, state)
    if not found.complete:
        raise UserError(f"pretrained: {source} does not fit this backbone; nothing was loaded.\n{found.describe()}")
    backbone.load_state_dict(state, strict=False)
