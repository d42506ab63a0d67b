"""``smp:architecture/encoder``: models of segmentation-models-pytorch (SMP)."""

import inspect
from typing import Any

import timm
from torch import Tensor, nn

from densekd.errors import RecipeError, suggest
from densekd.models.blocks import Normalize, last_channels
from densekd.models.families import IMAGENET, Convention
from densekd.models.sources.maps import InputSize, resize_input
from densekd.models.sources.timm import without_weights
from densekd.registry import optional_import

# Encoders (by the start of their names) whose weights were not trained with ImageNet's mean and
# deviation; the library would ask the network for these.
_CONVENTIONS = {
    "inception": Convention("rgb", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "xception": Convention("rgb", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "dpn": Convention("rgb", (124 / 255, 117 / 255, 104 / 255), (1 / (0.0167 * 255),) * 3),
}


class SmpSegmentor(nn.Module):
    """Model of the library in its parts, under the library's names, so that its state dicts fit.

    Args:
        model: a model of the library.
        convention: of the encoder's input.

    Shape:
        float RGB in [0, 1], ``[B, 3, H, W]`` -> logits ``[B, C, h, w]``, before the library
        upsamples them.
    """

    def __init__(self, model: Any, convention: Convention) -> None:
        super().__init__()
        self.normalize = Normalize(convention)
        self.encoder = model.encoder
        self.decoder = model.decoder
        self.segmentation_head = model.segmentation_head
        self.maps = nn.Identity()  # a place where taps can read the maps
        self.align_corners = True
        stride = model.encoder.output_stride
        if isinstance(self.segmentation_head, nn.Sequential):
            # The second layer upsamples the logits; we do so where they are needed.
            self.segmentation_head[1] = nn.Identity()
            self._accepted = InputSize(stride if model.requires_divisible_input_shape else 1)
            self._levels = min(4, len(model.encoder.out_channels) - 1)
        else:
            # DPT, a plain transformer that halves its map of patches once.
            self.segmentation_head.upsampling_factor = 1.0
            self._accepted = InputSize(2 * stride)
            self._levels = 4

    @property
    def backbone(self) -> nn.Module:
        """Return what ``pretrained`` fills and ``head_lr`` leaves alone."""
        encoder: nn.Module = self.encoder
        # The library wraps timm's backbones (``tu-``).
        return getattr(encoder, "model", encoder)

    @property
    def convention(self) -> Convention:
        """Channel order, mean and standard deviation of the network's own input."""
        return self.normalize.convention

    @property
    def num_classes(self) -> int:
        """C, the number of classes."""
        return last_channels(self.segmentation_head)

    @property
    def taps(self) -> dict[str, str]:
        """Short tap names: ``features.0..3`` (or fewer), ``logits`` and ``pre_logits``."""
        names = {f"features.{i}": f"maps[{i}]" for i in range(self._levels)}
        return {**names, "logits": "segmentation_head", "pre_logits": "decoder"}

    def forward(self, images: Tensor) -> Tensor:
        """Return the head's logits."""
        encoded = self.encoder(resize_input(self.normalize(images), self._accepted))
        if isinstance(encoded, tuple):
            # DPT's encoder also returns its class tokens, which its decoder reads.
            features = encoded[0]
            decoded = self.decoder(*encoded)
        else:
            features = encoded
            decoded = self.decoder(encoded)
        self.maps(features[-self._levels :])
        logits: Tensor = self.segmentation_head(decoded)
        return logits


def smp(name: str, num_classes: int, arguments: dict[str, Any] | None = None) -> SmpSegmentor:
    """Build a model of segmentation-models-pytorch without weights.

    The encoder's weights come through ``pretrained``.

    Args:
        name: ``architecture/encoder`` in the library's names: ``unet/resnet18``,
            ``fpn/tu-convnext_tiny``.
        num_classes: C; supplied by the build.
        arguments: of the architecture's class (``encoder_depth``, ``decoder_channels``, ...).

    Raises:
        UserError: the library is not installed.
        RecipeError: an unknown architecture or encoder, or arguments that the library refuses.
    """
    library = optional_import("segmentation_models_pytorch", "smp")
    architecture, _, encoder = name.partition("/")
    known = library.MODEL_ARCHITECTURES_MAPPING
    if architecture not in known or not encoder:
        raise RecipeError(f"smp:{name}: write smp:architecture/encoder. {suggest(architecture, known)}")
    arguments = without_weights(arguments or {})
    parameters = inspect.signature(known[architecture]).parameters
    unknown = [key for key in arguments if key not in parameters]
    if unknown and not encoder.startswith("tu-"):
        # The library hands it to the encoder, and only timm's know more.
        raise RecipeError(f"smp:{name}: unknown argument '{unknown[0]}'. {suggest(unknown[0], parameters)}")
    try:
        model = library.create_model(architecture, encoder, None, 3, num_classes, **arguments)
    except (KeyError, RuntimeError) as error:
        raise RecipeError(f"smp:{name}: {error.args[0]}") from error
    return SmpSegmentor(model, _convention(encoder))


def _convention(encoder: str) -> Convention:
    """Return the input convention of an encoder's published weights."""
    if encoder.startswith("tu-"):
        config = timm.get_pretrained_cfg(encoder.removeprefix("tu-"), allow_unregistered=True)
        if config is None:
            return IMAGENET
        return Convention("rgb", config.mean, config.std)
    for start, convention in _CONVENTIONS.items():
        if encoder.startswith(start):
            return convention
    return IMAGENET
