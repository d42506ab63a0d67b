"""Pretrained backbones: ImageNet weights from timm's hub or a local file."""

from collections.abc import Sequence
from pathlib import Path

import timm
from torch import Tensor, nn

from densekd.errors import UserError
from densekd.models import contract
from densekd.models.checkpoints.download import located
from densekd.models.checkpoints.file import Checkpoint, split_part
from densekd.models.checkpoints.imagenet import as_backbone
from densekd.models.checkpoints.load import load_in_full
from densekd.models.checkpoints.preprocessing import find_preprocessing
from densekd.models.published_files import how_to_get
from densekd.models.swin import Swin
from densekd.network import BY_HAND, without_waiting

# What files end with, and what timm writes before the name of a folder or of a repository.
_FILE_SUFFIXES = (".bin", ".ckpt", ".pkl", ".pt", ".pth", ".safetensors", ".tar")
_HUB_SCHEMES = ("hf-hub:", "hf_hub:", "local-dir:")
# Norms of a Swin's maps belong to what reads the maps: a classifier's file has none of them.
_HEAD_NORMS = "norms.*"
_SHOWN = 4


def load_pretrained(backbone: nn.Module, source: str) -> tuple[str, ...]:
    """Load ``source`` into ``backbone``; its classifier is dropped, everything else must fit.

    Args:
        backbone: changed in place.
        source: a local file or its URL (see :func:`densekd.models.checkpoints.download.located`),
            or a timm model name such as ``resnet18.a1_in1k``, ``hf-hub:owner/name`` or
            ``local-dir:folder``.

    Returns:
        what people should know: which parts begin anew, which of the file's weights are not used.

    Raises:
        UserError: no such file, an unknown name, one that cannot be fetched, or weights that do not
            fit.
    """
    path = located(source)
    if path.is_file() or split_part(path)[0].is_file():
        state = Checkpoint.read(path).state
    elif names_a_file(source):
        raise UserError(f"pretrained: {source}: no such file.{how_to_get(path)}")
    else:
        state = from_hub(source)
    # ImageNet files of many projects differ in names alone.
    own = backbone.state_dict()
    adapted = as_backbone(state, own)
    new = [key for key in own if key.startswith("norms.") and key not in adapted.state]
    allowed = (_HEAD_NORMS,) if isinstance(backbone, Swin) else ()
    loaded = load_in_full(
        backbone,
        adapted.state,
        allowed,
        f"pretrained: {source} does not fit this backbone",
        name=f"pretrained: {source}",
    )
    notes = list(loaded.notes)
    if new:
        notes.append(f"pretrained: {source}: the norms of the {len(new) // 2} maps begin anew; a classifier has none.")
    if adapted.others:
        notes.append(f"pretrained: {source}: not used: {_some(adapted.others)}.")
    return tuple(notes)


def names_a_file(source: str) -> bool:
    """Return True for what can only be a file: it ends like one, or has a folder before its name."""
    if source.startswith(_HUB_SCHEMES):
        return False
    return source.endswith(_FILE_SUFFIXES) or len(Path(source).parts) > 1


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


def from_hub(source: str) -> dict[str, Tensor]:
    """Fetch the weights of a timm model, or find them in the hub's cache.

    Raises:
        UserError: unknown, or out of reach.
    """
    try:
        with without_waiting(source):
            return dict(timm.create_model(source, pretrained=True).state_dict())
    except (RuntimeError, OSError, ValueError, KeyError) as error:
        lines = str(error).strip().splitlines()
        reason = lines[0] if lines else type(error).__name__
        raise UserError(
            f"pretrained: {source} is no local file and could not be had from timm's hub ({reason}). {BY_HAND}"
        ) from error


def _some(keys: Sequence[str]) -> str:
    more = len(keys) - _SHOWN
    shown = ", ".join(keys[:_SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown
