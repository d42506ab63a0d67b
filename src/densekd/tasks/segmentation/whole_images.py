"""Whole images labelled in batches of one size, by any segmentation model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor, nn

from densekd.data.maps import Sample
from densekd.models import contract
from densekd.tasks.segmentation.inference import WHOLE, Inference, Prediction
from densekd.tasks.segmentation.logits import checked_logits
from densekd.tasks.segmentation.sliding import Forward, Pixels

# Pixels that are predicted together: small images in batches, a Cityscapes frame alone.
_PIXELS = 1 << 21


@dataclass(frozen=True)
class WholeImages:
    """Label whole images: logits are enlarged to the size of the prediction before the maximum is taken.

    Args:
        num_classes: C of the models.
        inference: in one piece or by sliding windows, at one scale or several (test-time
            augmentation).
    """

    num_classes: int
    inference: Inference = WHOLE

    def predict(self, model: nn.Module, images: Tensor, size: tuple[int, int]) -> Prediction:
        """Predict images of one size.

        Args:
            model: any segmentation model.
            images: uint8 RGB ``[B, 3, H, W]``, or float in [0, 1].
            size: (height, width) of the prediction.

        Raises:
            UserError: a model of another number of classes.
        """

        return self.inference.predict(self._forward(model), images, size, contract.align_corners(model))

    def label(self, model: nn.Module, images: Tensor | Pixels, size: tuple[int, int]) -> Tensor:
        """Predict the classes alone, ``[B, H, W]`` in uint8 on the CPU, see :meth:`Inference.label`.

        Args:
            model, images, size: as of :meth:`predict`; images may be read by rectangle.

        Raises:
            UserError: a model of another number of classes.
        """
        return self.inference.label(self._forward(model), images, size, contract.align_corners(model))

    def _forward(self, model: nn.Module) -> Forward:
        def forward(part: Tensor) -> Tensor:
            return checked_logits(model(part), self.num_classes)

        return forward

    def predictions(
        self, model: nn.Module, samples: Sequence[Sample], device: torch.device
    ) -> Iterator[tuple[Prediction, Tensor]]:
        """Predict samples in their order, neighbors of one size together.

        Yields:
            predictions, and the int64 labels ``[B, H', W']`` at whose size they are.
        """
        for images, labels in _together(samples, device):
            height, width = labels.shape[-2:]
            yield self.predict(model, images, (height, width)), labels

    def classes(
        self, model: nn.Module, samples: Sequence[Sample], device: torch.device
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Predict the classes of samples alone, as :meth:`predictions` does in twice the time.

        Yields:
            predicted and labelled classes, int64 ``[B, H', W']`` both.
        """
        forward, align_corners = self._forward(model), contract.align_corners(model)
        for images, labels in _together(samples, device):
            height, width = labels.shape[-2:]
            yield self.inference.classes(forward, images, (height, width), align_corners), labels


def _together(samples: Sequence[Sample], device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Stack neighbors of one size, as many as fit the pixels: images and int64 labels."""
    # A model may see an image smaller than its label; both sizes must be equal.
    for _, group in groupby(samples, key=_sizes):
        alike = list(group)
        # At least one.
        together = max(1, _PIXELS // alike[0].label.numel())
        for first in range(0, len(alike), together):
            part = alike[first : first + together]
            images = torch.stack([sample.image for sample in part]).to(device)
            labels = torch.stack([sample.label for sample in part]).to(device)
            yield images, labels.long()


def _sizes(sample: Sample) -> tuple[torch.Size, torch.Size]:
    return sample.image.shape, sample.label.shape
