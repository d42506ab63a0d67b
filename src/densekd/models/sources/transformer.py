"""Segmentation models and backbones of the transformers library: logits and feature maps."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from densekd.models.blocks import Normalize
from densekd.models.families import IMAGENET, Convention
from densekd.models.sources.maps import InputSize, four_maps, resize_input
from densekd.models.sources.masks import mask_logits

Processor = Mapping[str, Any]


class ModelOutput(NamedTuple):
    """Output of one forward: logits, None of a bare backbone, and hidden states."""

    logits: Tensor | None
    states: Sequence[Tensor]


class ArchSpec(NamedTuple):
    """One architecture of the library: how its models are called and read.

    Args:
        read: (model, images, task tokens) -> :class:`ModelOutput`.
        backbone: path of the backbone inside the model; empty for the whole.
        pre_logits: path of the map before the classifier, or None.
        sizes: of images: ``any``, multiples of the config's ``patch_size`` if it has one, or its
            ``image_size`` alone.
        predicts: name in ``TASKS`` of what its output is.
    """

    read: Callable[[nn.Module, Tensor, Tensor], ModelOutput]
    backbone: str
    pre_logits: str | None
    sizes: Literal["any", "patch", "own"]
    predicts: str = "segmentation"


class Transformer(nn.Module):
    """Semantic segmenter, mask classifier, depth estimator or bare backbone of transformers.

    Args:
        model: one of the library's modules.
        processor: see :func:`convention_of`; OneFormer's also holds ``task_inputs``, the tokens of
            its task.
        spec: see :class:`ArchSpec`.
        notes: what people should hear of its weights.

    Shape:
        float RGB in [0, 1], ``[B, 3, H, W]`` -> logits ``[B, C, h, w]``; of a bare backbone, the
        list of its four maps.
    """

    task: Tensor

    def __init__(self, model: nn.Module, processor: Processor, spec: ArchSpec, notes: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.normalize = Normalize(convention_of(processor))
        # Not "model": so wrappers of other projects are called, and reading a checkpoint drops it.
        self.network: Any = model
        self.maps = nn.Identity()  # a place where taps can read the maps
        self.align_corners = False
        self.processor = dict(processor)
        self.spec = spec
        self.notes = notes
        task = torch.tensor([processor.get("task_inputs", [])], dtype=torch.int64)
        self.register_buffer("task", task, persistent=False)

    @property
    def convention(self) -> Convention:
        """Channel order, mean and standard deviation of the network's own input."""
        return self.normalize.convention

    @property
    def predicts(self) -> str:
        """Name in ``TASKS`` of what the output is."""
        return self.spec.predicts

    @property
    def num_classes(self) -> int | None:
        """C, the number of classes; None for a bare backbone, 1 for a map of depths."""
        if self.predicts == "depth":
            return 1
        return None if self.spec is BACKBONE else int(self.network.config.num_labels)

    @property
    def class_names(self) -> tuple[str, ...]:
        """C names, as the library's config has them; empty where it only numbers its classes."""
        if self.predicts == "depth":
            return ("depth",)
        return class_names_of(self.network.config)

    @property
    def backbone(self) -> nn.Module:
        """Return what ``head_lr`` leaves alone."""
        backbone: nn.Module = self.network.get_submodule(self.spec.backbone)
        return backbone

    @property
    def auxiliary(self) -> nn.Module | None:
        """Return the auxiliary head, if there is one; it may be set to None."""
        return getattr(self.network, "auxiliary_head", None)

    @auxiliary.setter
    def auxiliary(self, head: None) -> None:
        if self.auxiliary is not None:
            self.network.auxiliary_head = head

    @property
    def taps(self) -> dict[str, str]:
        """Short tap names: ``features.0..3``, possibly ``pre_logits`` and ``aux``."""
        names = {f"features.{i}": f"maps[{i}]" for i in range(4)}
        if self.spec.pre_logits:
            names["pre_logits"] = f"network.{self.spec.pre_logits}"
        if self.auxiliary is not None:
            names["aux"] = "network.auxiliary_head"
        return names

    @property
    def packaged(self) -> tuple[str, dict[str, Any]]:
        """Return the name and options that rebuild this model without a file and auxiliary head."""
        config = self.network.config
        content = entries(config)
        if "use_auxiliary_head" in config.to_dict():
            content["use_auxiliary_head"] = False
        if self.predicts == "depth":
            # Some model types have a segmenter and a depth estimator.
            content["architectures"] = [type(self.network).__name__]
        return f"hf:{config.model_type}", {"config": content, "processor": self.processor}

    def forward(self, images: Tensor) -> Any:
        """Return the logits, or a bare backbone's maps."""
        patch = self._patch()
        images = resize_input(self.normalize(images), self._accepted(patch))
        # Not len(images): an export would take the batch for a constant.
        task = self.task.expand(images.shape[0], -1)
        logits, states = self.spec.read(self.network, images, task)
        # Tokens have no size of their own: it is that of the image in patches.
        grid = (images.shape[2] // patch, images.shape[3] // patch)
        maps = self.maps(four_maps(states, grid))
        if logits is None:
            return maps
        return logits

    def _patch(self) -> int:
        """Return the side of a patch in pixels, 1 where the architecture has none."""
        if self.spec.sizes == "any":
            return 1
        patch = getattr(self.network.config, "patch_size", 1)
        return patch if isinstance(patch, int) else max(patch)

    def _accepted(self, patch: int) -> InputSize:
        if self.spec.sizes != "own":
            return InputSize(patch)
        size = self.network.config.image_size
        if isinstance(size, int):
            size = (size, size)
        return InputSize(size=(size[0], size[1]))


def entries(config: Any) -> dict[str, Any]:
    """Return the entries of a library's config that differ from its type's defaults.

    Classes and versions are left out.
    """
    # Through JSON, so that a package can hold them.
    content: dict[str, Any] = json.loads(config.to_json_string(use_diff=True))
    content.pop("model_type", None)
    for key in ("transformers_version", "architectures", "dtype", "id2label", "label2id"):
        content.pop(key, None)
    return content


def class_names_of(config: Any) -> tuple[str, ...]:
    """Return the class names of a library's config; empty where they are the library's own numbering."""
    names = [str(config.id2label[k]) for k in sorted(config.id2label)]
    numbered = [f"LABEL_{k}" for k in range(len(names))]
    return () if names == numbered else tuple(names)


def convention_of(processor: Processor) -> Convention:
    """Read the input normalization from a processor's entries.

    Args:
        processor: the entries ``do_normalize``, ``image_mean``, ``image_std``, ``do_rescale``,
            ``rescale_factor`` and ``do_flip_channel_order`` of the library's
            ``preprocessor_config.json``; if empty, ImageNet's convention.
    """
    if not processor:
        return IMAGENET
    # The library multiplies images in [0, 255] by the factor; ours are in [0, 1].
    scale = 255.0
    if processor.get("do_rescale", True):
        scale = 255 * processor.get("rescale_factor", 1 / 255)
    mean = (0.0, 0.0, 0.0)
    std = (1.0, 1.0, 1.0)
    if processor.get("do_normalize", "image_mean" in processor):
        mean = processor.get("image_mean", IMAGENET.mean)
        std = processor.get("image_std", IMAGENET.std)
    order: Literal["rgb", "bgr"] = "bgr" if processor.get("do_flip_channel_order") else "rgb"
    return Convention(order, _divided(mean, scale), _divided(std, scale))


def _divided(values: Sequence[float], divisor: float) -> tuple[float, float, float]:
    first, second, third = values
    return first / divisor, second / divisor, third / divisor


def _semantic(model: nn.Module, images: Tensor, task: Tensor) -> ModelOutput:
    output = model(pixel_values=images, output_hidden_states=True)
    return ModelOutput(output.logits, output.hidden_states)


def _upernet(model: nn.Module, images: Tensor, task: Tensor) -> ModelOutput:
    # In parts, because its forward upsamples the logits to the images' size.
    upernet: Any = model
    maps = upernet.backbone(images).feature_maps
    if upernet.auxiliary_head is not None:
        upernet.auxiliary_head(maps)
    return ModelOutput(upernet.decode_head(maps), maps)


def _masks(model: nn.Module, images: Tensor, task: Tensor) -> ModelOutput:
    # OneFormer alone is told its task.
    tokens = {"task_inputs": task} if task.shape[1] else {}
    output = model(pixel_values=images, output_hidden_states=True, **tokens)
    states = output.get("encoder_hidden_states") or output.hidden_states
    logits = mask_logits(output.class_queries_logits, output.masks_queries_logits)
    return ModelOutput(logits, states)


def _maps(model: nn.Module, images: Tensor, task: Tensor) -> ModelOutput:
    return ModelOutput(None, model(images).feature_maps)


def _depth(model: nn.Module, images: Tensor, task: Tensor) -> ModelOutput:
    output = model(pixel_values=images, output_hidden_states=True)
    return ModelOutput(output.predicted_depth[:, None], output.hidden_states)


_MASK_DECODER = "model.pixel_level_module.decoder[{}]"
_MASK_ENCODER = "model.pixel_level_module.encoder"

# By the library's model type.
SEMANTIC: dict[str, ArchSpec] = {
    "beit": ArchSpec(_semantic, "beit", "decode_head.fpn_bottleneck", "patch"),
    "data2vec-vision": ArchSpec(_semantic, "data2vec_vision", "decode_head.fpn_bottleneck", "own"),
    "dpt": ArchSpec(_semantic, "dpt", "head.head.2", "own"),
    "mobilenet_v2": ArchSpec(_semantic, "mobilenet_v2", "segmentation_head.conv_projection", "any"),
    "mobilevit": ArchSpec(_semantic, "mobilevit", "segmentation_head.aspp", "any"),
    "mobilevitv2": ArchSpec(_semantic, "mobilevitv2", "segmentation_head.aspp", "any"),
    "segformer": ArchSpec(_semantic, "segformer", "decode_head.activation", "any"),
    "upernet": ArchSpec(_upernet, "backbone", "decode_head.fpn_bottleneck", "any"),
}
MASKS: dict[str, ArchSpec] = {
    "eomt": ArchSpec(_masks, "", None, "own"),
    "eomt_dinov3": ArchSpec(_masks, "", None, "own"),
    "mask2former": ArchSpec(_masks, _MASK_ENCODER, _MASK_DECODER.format("mask_features"), "any"),
    "maskformer": ArchSpec(_masks, _MASK_ENCODER, _MASK_DECODER.format("last_hidden_state"), "any"),
    "oneformer": ArchSpec(_masks, _MASK_ENCODER, _MASK_DECODER.format("mask_features"), "any"),
}
DEPTH: dict[str, ArchSpec] = {
    "depth_anything": ArchSpec(_depth, "backbone", "head.activation1", "patch", "depth"),
    "dpt": ArchSpec(_depth, "dpt", "head.head.3", "own", "depth"),
}
BACKBONE = ArchSpec(_maps, "", None, "patch")
