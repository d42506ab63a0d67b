"""Semantic segmentation as a task: cross-entropy, whole images predicted, mean IoU."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Literal

import torch
from torch import Tensor, nn

from densekd.errors import UserError
from densekd.inference import Inference, Prediction
from densekd.kernels import resized_cross_entropy
from densekd.metrics import ConfusionMatrix
from densekd.models import contract
from densekd.ops.interpolation import resize
from densekd.ops.precision import to_float32
from densekd.ops.processes import mean_over_processes

Batch = Mapping[str, Tensor]
Normalize = Literal["valid", "all"]

# Pixels that are predicted together: small images in batches, a Cityscapes frame alone.
_PIXELS = 1 << 21


class Segmentation(nn.Module):
    """Semantic segmentation: cross-entropy on enlarged logits, an auxiliary head, mean IoU.

    Args:
        num_classes: C.
        ignore_index: label of void pixels.
        class_weights: ``[C]`` factors of the cross-entropy, or None; the mean is weighted too, as torch's is.
        auxiliary_weight: factor of the auxiliary head's cross-entropy, for students that have one.
        normalize: the cross-entropy's divisor: the (weighted) number of ``valid`` pixels, those that are not void
            (TorchDistiller, CIRKD, HWD), or of ``all`` pixels, unweighted (the mmsegmentation family, SegDistill).

    ``inference`` says how :meth:`evaluate` predicts whole images.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        num_classes: int,
        ignore_index: int,
        class_weights: Tensor | None = None,
        auxiliary_weight: float = 0.4,
        normalize: Normalize = "valid",
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.auxiliary_weight = auxiliary_weight
        self.normalize = normalize
        self.inference = Inference()
        self.register_buffer("class_weights", class_weights, persistent=False)

    def student_taps(self, student: nn.Module) -> list[str]:
        """Return the taps that the task's own loss reads besides the output."""
        return ["aux"] if "aux" in contract.taps(student) and self.auxiliary_weight else []

    def images(self, batch: Batch) -> Tensor:
        """Return what a model takes: float in [0, 1], ``[B, 3, H, W]``, from the uint8 images that travelled."""
        return as_float(batch["images"])

    def target(self, batch: Batch) -> Tensor:
        """Return the labels ``[B, H, W]`` as int64."""
        return batch["target"].long()

    def losses(
        self, student: nn.Module, output: Tensor, student_features: Mapping[str, Tensor], target: Tensor
    ) -> dict[str, Tensor]:
        """Return the weighted summands of the task's loss.

        Args:
            student: for its ``align_corners``.
            output: its logits ``[B, C, h, w]``.
            learnt: its taps.
            target: labels ``[B, H, W]``.
        """
        losses = {"ce": self._cross_entropy(student, output, target)}
        if "aux" in student_features and self.auxiliary_weight:
            losses["aux"] = self.auxiliary_weight * self._cross_entropy(student, student_features["aux"], target)
        return losses

    def fits(self, model: nn.Module, images: Tensor) -> bool:
        """Say whether a model's output for float images ``[B, 3, H, W]`` can be scored: logits of C classes."""
        output = model(images)
        return isinstance(output, Tensor) and output.shape[1] == self.num_classes

    def metric(self) -> ConfusionMatrix:
        """Return a new accumulator for :meth:`evaluate`."""
        return ConfusionMatrix(self.num_classes, self.ignore_index)

    def evaluate(self, model: nn.Module, samples: Sequence[Any], metric: ConfusionMatrix) -> None:
        """Add samples ``(image uint8 [3, H, W], label [H', W'])`` of any size to ``metric``."""
        for predicted, labels in self.predictions(model, samples, metric.counts.device):
            metric.update(predicted.label, labels)

    def predictions(
        self, model: nn.Module, samples: Sequence[Any], device: torch.device
    ) -> Iterator[tuple[Prediction, Tensor]]:
        """Predict samples, those of one size together; yield predictions and int64 labels ``[B, H', W']``."""
        for _, group in groupby(samples, key=lambda sample: (sample.image.shape, sample.label.shape)):
            alike = list(group)
            together = max(1, _PIXELS // alike[0].label.numel())
            for first in range(0, len(alike), together):
                some = zip(*alike[first : first + together], strict=True)
                images, labels = (torch.stack(column).to(device) for column in some)
                yield self.predict(model, images, labels.shape[-2:]), labels.long()

    def predict(self, model: nn.Module, images: Tensor, size: torch.Size) -> Prediction:
        """Predict whole images.

        Args:
            model: any segmentation model.
            images: uint8 RGB ``[B, 3, H, W]``.
            size: (height, width) of the prediction; the logits are enlarged to it before the maximum is taken.

        Raises:
            UserError: a model of another number of classes.
        """
        images = self.images({"images": images})
        return self.inference.predict(
            lambda part: self._checked(model(part)), images, (size[0], size[1]), align_corners(model)
        )

    def _cross_entropy(self, model: nn.Module, logits: Tensor, target: Tensor) -> Tensor:
        logits = self._checked(logits)
        total = resized_cross_entropy(logits, target, self.class_weights, self.ignore_index, align_corners(model))
        return total / self._normalizer(target)

    def _checked(self, logits: Tensor) -> Tensor:
        if not isinstance(logits, Tensor):
            raise UserError(f"The model returns a {type(logits).__name__}, not logits: it has no head to score.")
        if logits.shape[1] != self.num_classes:
            raise UserError(
                f"The model's logits are {list(logits.shape)}, so it tells {logits.shape[1]} classes apart, "
                f"but the data has {self.num_classes}. Give a model of {self.num_classes} classes."
            )
        return logits

    def _normalizer(self, target: Tensor) -> Tensor:
        """Return the number of pixels that count, averaged over processes: shards add up to one batch."""
        valid = target != self.ignore_index
        if self.normalize == "all":
            count = torch.full((), float(target.numel()), device=target.device)
        elif self.class_weights is None:
            count = valid.sum().float()
        else:
            count = self.class_weights[target.where(valid, 0)].where(valid, 0).sum()
        return mean_over_processes(count).clamp(min=torch.finfo(count.dtype).tiny)


def as_float(images: Tensor) -> Tensor:
    """Return images as a model takes them: float in [0, 1]; uint8 is divided by 255, the caller's tensor stays.

    Args:
        images: uint8, or float in [0, 1] already.
    """
    if images.is_floating_point():
        return images
    return images.float().div_(255)


def upsample(model: nn.Module, logits: Tensor, size: torch.Size) -> Tensor:
    """Resize logits bilinearly to ``size`` in at least float32; ``align_corners`` is the model's, else False."""
    return resize(to_float32(logits), size, align_corners(model))


def align_corners(model: nn.Module) -> bool:
    """Say how a model's logits are enlarged; False for models that do not say."""
    return contract.align_corners(model)


def balanced_weights(frequency: Tensor) -> Tensor:
    """Class weights ``1 / log(1.02 + frequency)`` (ENet, arXiv 1606.02147, section 5.2), scaled to mean 1, ``[C]``."""
    weights = 1 / torch.log(1.02 + frequency)
    return (weights / weights.mean()).float()
