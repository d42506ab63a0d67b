"""``densekd.predict``: labels, boxes or depths of pictures, by any model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from densekd.api.images import as_array, is_batch
from densekd.distill.choose_task import logit_channels
from densekd.errors import UserError
from densekd.models import contract
from densekd.models.classes import unnamed_classes
from densekd.models.package import PackageConfig, config_of
from densekd.tasks.protocol import Task
from densekd.trust import require_trust

# Size of the image on which a module's classes are counted.
_PROBE = (64, 64)


class ImagePredictor:
    """Prediction of pictures of any origin: the ``predict`` of a loaded model.

    Args:
        task: what the model predicts, and in which mode.
        model: changed to evaluation mode when it predicts.
        config: the classes of its labels, and what images are brought to.
    """

    def __init__(self, task: Task, model: nn.Module, config: PackageConfig) -> None:
        self.task = task
        self.predictor = task.predictor(model, config)
        self.bands = config.bands

    def __call__(self, images: Any) -> Any:
        """Predict one picture, or a list of them.

        Args:
            images: a path, a PIL image, an array ``[H, W, 3]``, a tensor ``[3, H, W]``; or a list
                of these, or an array or tensor with a batch dimension. uint8, or float in [0, 1]. Of a
                model for N bands, arrays ``[H, W, N]`` and tensors ``[N, H, W]``, also uint16.

        Returns:
            Of one picture, at its own size: class numbers uint8 ``[H, W]`` of a segmentation model;
            ``boxes`` in pixels, ``scores`` and ``labels`` of a detector; float32 ``[H, W]`` of a
            depth model. Of several a list.

        Raises:
            densekd.errors.UserError: a missing or damaged file, or something that is no picture.
        """
        if is_batch(images):
            return [self.predictor(as_array(picture, self.bands)) for picture in images]
        return self.predictor(as_array(images, self.bands))


def predict(model: str | Path | nn.Module, images: Any, *, task: str | None = None, trust: Sequence[str] = ()) -> Any:
    """Predict pictures at their own size: labels, boxes or depths.

    Args:
        model: whatever :func:`densekd.load` opens; a model that it loaded; or any module that takes
            float RGB in [0, 1], ``[B, 3, H, W]``, and returns logits, or is a detector.
        images: see :meth:`ImagePredictor.__call__`.
        task: of a plain module, a name of ``densekd.tasks.TASKS``; None: detection where it can
            detect, or segmentation.
        trust: modules that a package may name; see :func:`densekd.load`.

    Returns:
        See :meth:`ImagePredictor.__call__`.

    Raises:
        densekd.errors.UserError: no such model or picture.
    """
    from densekd.api.load import load

    if not isinstance(model, nn.Module):
        model = load(model, trust=trust)
    # A model that was loaded knows its classes and its size of images; another one is asked.
    if not hasattr(model, "predict"):
        return plain_predictor(model, task)(images)
    return model.predict(images)  # type: ignore[operator]


def plain_predictor(model: nn.Module, task: str | None = None) -> ImagePredictor:
    """Return the predictor of a module that says nothing of its classes: they are numbered.

    Args:
        model: in whatever mode; it predicts in evaluation mode.
        task: a name of ``densekd.tasks.TASKS``, or None for what the model can do.

    Raises:
        densekd.errors.UserError: a model whose number of classes cannot be told.
    """
    from densekd.builders.task import packaged_task
    from densekd.recipe import EvaluationSpec

    count = contract.num_classes(model) or logit_channels(model, torch.zeros(1, contract.bands(model), *_PROBE))
    if count is None:
        raise UserError(f"{type(model).__name__} returns no logits [B, C, h, w] to predict from.")
    name = task or contract.task_of(model)
    # The caller's word, or that of a model of the caller's.
    require_trust(name)
    config = config_of(type(model).__name__, {}, unnamed_classes(count), name)
    return ImagePredictor(packaged_task(config, EvaluationSpec()), model, config)
