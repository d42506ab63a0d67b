"""Model contract: what segmentation models and detectors offer, and defaults for those that offer less.

Our own models offer everything. A module of the user's needs ``forward`` alone (a detector also
``losses`` and ``detect``); whoever reads the rest asks the functions below, which are the only
place that knows the defaults.
"""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from densekd.errors import UserError
from densekd.models.blocks import NormalizeBands
from densekd.models.families import Convention
from densekd.ops.boxes import Boxes, Detections


@runtime_checkable
class DenseModel(Protocol):
    """Segmentation model: one vector of logits for every position of a map.

    Shape:
        float RGB in [0, 1], ``[B, 3, H, W]`` -> logits ``[B, num_classes, h, w]`` at the head's own
        stride; a model without head returns the list of its feature maps.
    """

    @property
    def taps(self) -> Mapping[str, str]:
        """Short tap names -> paths, see :mod:`densekd.distill.taps`."""

    @property
    def align_corners(self) -> bool:
        """How the logits are resized: ``align_corners`` of ``torch.nn.functional.interpolate``."""

    @property
    def num_classes(self) -> int | None:
        """C, or None without head."""

    @property
    def convention(self) -> Convention:
        """Channel order, mean and deviation of the network's own input, applied in ``forward``."""

    def forward(self, images: Tensor) -> Any:
        """Return the logits."""


@runtime_checkable
class Detector(Protocol):
    """Object detector: it brings its own loss and decodes its own output.

    Shape:
        float RGB in [0, 1], ``[B, 3, H, W]`` -> a raw output of any type, which only the detector
        reads.
    """

    def forward(self, images: Tensor) -> Any:
        """Return the raw output."""

    def __call__(self, images: Tensor) -> Any:
        """Return the raw output."""

    def losses(self, output: Any, target: Boxes) -> dict[str, Tensor]:
        """Return the weighted summands of the detector's loss, scalars."""

    def detect(self, output: Any, sizes: Tensor) -> list[Detections]:
        """Return what is found in each image.

        Args:
            output: of :meth:`forward`.
            sizes: int64 ``[B, 2]``: height and width of each image without padding.
        """


# What a model may leave out: each function asks for one attribute and knows its default.


def is_detector(model: nn.Module) -> bool:
    """Return True for a model with ``losses`` and ``detect``."""
    return isinstance(model, Detector)


def as_detector(model: nn.Module) -> Detector:
    """Return the model as a :class:`Detector`.

    Raises:
        UserError: it is none.
    """
    if not isinstance(model, Detector):
        raise UserError(
            f"{type(model).__name__} is no detector: detection needs losses(output, target) and "
            "detect(output, sizes); see densekd.models.detection."
        )
    return model


def task_of(model: nn.Module) -> str:
    """Return the name in ``TASKS`` of what a model predicts: its attribute ``predicts``, or what it can do."""
    usual = "detection" if is_detector(model) else "segmentation"
    return str(getattr(model, "predicts", usual))


def taps(model: nn.Module) -> dict[str, str]:
    """Return the short tap names; none where the model defines none."""
    return dict(getattr(model, "taps", {}))


def align_corners(model: nn.Module) -> bool:
    """Return how the logits are resized; False where the model does not say."""
    return bool(getattr(model, "align_corners", False))


def num_classes(model: nn.Module) -> int | None:
    """Return C, or None where the model does not say or has no head."""
    count: int | None = getattr(model, "num_classes", None)
    return count


def class_names(model: nn.Module) -> tuple[str, ...]:
    """Return the names of the classes that a model brings along; empty where it has none."""
    return tuple(getattr(model, "class_names", ()))


def convention(model: nn.Module) -> Convention | None:
    """Return the input convention, or None where the model does not say."""
    found: Convention | None = getattr(model, "convention", None)
    return found


def bands(model: nn.Module) -> int:
    """Return the number of channels of the images that a model takes: its own ``bands``, or 3 where it is silent."""
    own = getattr(model, "bands", None)
    if isinstance(own, int):
        return own
    for module in model.modules():
        if isinstance(module, NormalizeBands):
            return module.images
    return 3


def backbone(model: nn.Module) -> nn.Module | None:
    """Return the part that ``pretrained`` fills and ``head_lr`` leaves alone, or None."""
    found = getattr(model, "backbone", None)
    return found if isinstance(found, nn.Module) else None


def has_auxiliary(model: nn.Module) -> bool:
    """Return True for a model with an auxiliary head."""
    return getattr(model, "auxiliary", None) is not None


def drop_auxiliary(model: nn.Module) -> None:
    """Remove the auxiliary head, which only training needs; without one nothing happens."""
    if has_auxiliary(model):
        model.auxiliary = None  # type: ignore[assignment]


def packaged(model: nn.Module) -> tuple[str, dict[str, Any]] | None:
    """Return name and options that rebuild the model offline; None where the recipe's do."""
    found: tuple[str, dict[str, Any]] | None = getattr(model, "packaged", None)
    return found


def notes(model: nn.Module) -> tuple[str, ...]:
    """Return what people should know about the model's weights before they use it."""
    return tuple(getattr(model, "notes", ()))
