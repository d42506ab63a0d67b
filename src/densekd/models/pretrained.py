"""Pretrained backbones: ImageNet weights from timm's hub or a local file."""

import timm
from torch import Tensor, nn

from densekd.errors import UserError
from densekd.models import contract
from densekd.models.checkpoints.download import located
from densekd.models.checkpoints.file import Checkpoint
from densekd.models.checkpoints.imagenet import as_backbone
from densekd.models.checkpoints.load import load_in_full
from densekd.models.checkpoints.preprocessing import find_preprocessing


def load_pretrained(backbone: nn.Module, source: str) -> None:
    """Load ``source`` into ``backbone``; its classifier is dropped, everything else must fit.

    Args:
        backbone: changed in place.
        source: a local file or its URL (see :func:`densekd.models.checkpoints.download.located`),
            or a timm model name such as ``resnet18.a1_in1k``, ``hf-hub:owner/name`` or
            ``local-dir:folder``.

    Raises:
        UserError: the name is unknown, cannot be fetched, or its weights do not fit.
    """
    path = located(source)
    state = Checkpoint.read(path).state if path.is_file() else _from_hub(source)
    # ImageNet files of many projects differ in names alone.
    renamed = as_backbone(state, backbone.state_dict())
    load_in_full(backbone, renamed, (), f"pretrained: {source} does not fit this backbone")


def pretrained_notes(model: nn.Module, source: str) -> tuple[str, ...]:
    """Return what people should know of a backbone's weights: those of Caffe take other pixels."""
    convention = contract.convention(model)
    named = find_preprocessing({}, source)
    if named.style != "caffe" or convention is None or convention.order == "bgr":
        return ()
    return (
        f"pretrained: {source} is a network of Caffe, as its name says, which takes BGR pixels "
        "without their mean and has the stride in the first convolution of its bottlenecks; the "
        "model was built for RGB. Say 'options: {family: mmdet_caffe}', or another 'input'.",
    )


def _from_hub(source: str) -> dict[str, Tensor]:
    try:
        return dict(timm.create_model(source, pretrained=True).state_dict())
    except (RuntimeError, OSError, ValueError, KeyError) as error:
        lines = str(error).strip().splitlines()
        reason = lines[0] if lines else type(error).__name__
        raise UserError(
            f"pretrained: {source} is no local file and could not be had from timm's hub ({reason})."
        ) from error
