"""Score a segmentation model on whole images at their original size."""

from typing import Any

import torch
from rich.progress import track
from torch import nn

from densekd.data.files import SegmentationFiles
from densekd.data.loaders import evaluation_loader
from densekd.data.segmentation import EvaluationSet, Size
from densekd.tasks import Segmentation


def evaluate(model: nn.Module, files: SegmentationFiles, resize: Size | None, workers: int = 0) -> dict[str, Any]:
    """Score ``model`` on every image of ``files``, in float32, on the device the model is on.

    The logits are enlarged to each label's own size, so that a model fed smaller images is scored on original pixels.

    Args:
        model: changed to evaluation mode.
        files: the images and labels.
        resize: (height, width) images are brought to before the model, or None.
        workers: loading processes.

    Returns:
        ``miou``, ``macc``, ``aacc`` in percent (see :func:`densekd.metrics.scores`), ``iou`` by class name, ``images``
        and ``parameters``.
    """
    model.eval()
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    task = Segmentation(len(files.classes.names), files.classes.ignore_index)
    metric = task.metric().to(device)
    batches = evaluation_loader(EvaluationSet(files, resize), batch_size=8, workers=workers)
    with torch.no_grad():
        for samples in track(batches, "evaluating", transient=True, disable=len(files) < 20):
            task.evaluate(model, samples, metric)
    scores = metric.compute()
    named = dict(zip(files.classes.names, scores.pop("iou"), strict=True))
    return {**scores, "iou": named, "images": len(files), "parameters": sum(p.numel() for p in model.parameters())}
