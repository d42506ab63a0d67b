"""Score a depth model on whole images at their original size, aligned to each image's truth where asked for."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

import torch
from torch import Tensor, nn

from densekd.data.depth import DepthFiles
from densekd.data.loaders import evaluation_loader
from densekd.data.maps import EvaluationSet, Resize, Sample
from densekd.errors import UserError
from densekd.ops.finite import require_finite_output
from densekd.ops.ranges import Positive
from densekd.tasks.common import device_of, parameter_count, to_float, upsample
from densekd.tasks.depth.alignment import scale_alone, scale_and_shift
from densekd.tasks.depth.metric import DepthMetric
from densekd.tasks.protocol import BY_IMAGE, Scores
from densekd.tasks.together import STUDENT, TEACHER, Compared, Loading, predictions_of
from densekd.terminal import track

# What the numbers of a model are: inverse depths, as those of MiDaS and Depth Anything, or depths.
Quantity = Literal["inverse", "depth"]

# Depths are told apart down to this share of the greatest one.
_NEAREST = 1e-4


@dataclass(frozen=True)
class DepthEvaluation:
    """How predictions are compared with measured depths: the keys of a recipe's ``evaluation``.

    Args:
        align: what brings each prediction to the truth of its image by least squares, in the
            quantity that the model predicts: ``scale_and_shift`` (MiDaS, Depth Anything: models
            that know no more), ``scale``, or ``none`` for a model whose numbers mean depths.
        max_depth: measured depths beyond it are not scored, and predicted ones are cut there;
            default: all are scored, and predictions are cut at the image's greatest depth.
    """

    align: Literal["scale_and_shift", "scale", "none"] = "scale_and_shift"
    max_depth: Positive | None = None


def checked_output(output: object) -> Tensor:
    """Return a model's output, which must be one map for each image.

    Args:
        output: ``[B, 1, h, w]``.

    Raises:
        UserError: a model without head, or of several channels.
    """
    if not isinstance(output, Tensor):
        kind = type(output).__name__
        raise UserError(f"The model returns a {kind}, no map of depths: it has no head to score.")
    if output.ndim != 4 or output.shape[1] != 1:
        shape = list(output.shape)
        raise UserError(
            f"The model's output is {shape}, but depth is one channel [B, 1, h, w]. "
            "Give a model of one class, or a teacher that estimates depth."
        )
    return output


def predict_maps(model: nn.Module, images: Tensor, size: tuple[int, int]) -> Tensor:
    """Return what a model predicts, ``[B, H, W]`` float32 at ``size``, in its own quantity.

    Args:
        model: any model with one output channel.
        images: uint8 RGB ``[B, 3, H', W']``, or float in [0, 1].
        size: (height, width).

    Raises:
        NotFiniteError: NaN or infinity in the output.
    """
    output = checked_output(model(to_float(images)))
    require_finite_output(output.abs(), "the depths are")
    return upsample(model, output, size)[:, 0]


def to_depth(prediction: Tensor, truth: Tensor, quantity: Quantity, options: DepthEvaluation) -> Tensor:
    """Turn predictions into depths, aligned to the truth as the options say.

    Args:
        prediction: ``[B, H, W]``, in the model's quantity.
        truth: depths ``[B, H, W]``, 0 where nothing was measured.
        quantity: of the prediction.
        options: see :class:`DepthEvaluation`.

    Returns:
        depths ``[B, H, W]``, > 0.
    """
    # The truth in the quantity that the model predicts, since that is linear in its output.
    measured = truth > 0
    target = truth
    if quantity == "inverse":
        target = torch.where(measured, 1 / truth.where(measured, torch.ones_like(truth)), 0)
    # Least squares over the measured pixels of each image.
    weight = measured.to(prediction.dtype)
    if options.align == "scale_and_shift":
        scale, shift = scale_and_shift(prediction, target, weight)
        prediction = scale[:, None, None] * prediction + shift[:, None, None]
    elif options.align == "scale":
        prediction = scale_alone(prediction, target, weight)[:, None, None] * prediction
    # An aligned map may reach zero or less somewhere, which is no depth.
    farthest = truth.amax((1, 2)).clamp(min=torch.finfo(truth.dtype).tiny)
    if options.max_depth is not None:
        farthest = torch.full_like(farthest, options.max_depth)
    farthest = farthest[:, None, None]
    if quantity == "inverse":
        prediction = 1 / torch.maximum(prediction, 1 / farthest)
    return torch.minimum(torch.maximum(prediction, _NEAREST * farthest), farthest)


def scored_truth(truth: Tensor, options: DepthEvaluation) -> Tensor:
    """Return the depths that are scored: 0 beyond the greatest one."""
    if options.max_depth is None:
        return truth
    return truth.where(truth <= options.max_depth, torch.zeros_like(truth))


def predictions(model: nn.Module, samples: Sequence[Sample], device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Predict samples in their order, neighbors of one size together.

    Yields:
        predictions in the model's quantity, and the depths; ``[B, H, W]`` both.
    """
    for _, group in groupby(samples, key=lambda sample: (sample.image.shape, sample.label.shape)):
        alike = list(group)
        images = torch.stack([sample.image for sample in alike]).to(device)
        truth = torch.stack([sample.label for sample in alike]).to(device)
        height, width = truth.shape[-2:]
        yield predict_maps(model, images, (height, width)), truth.float()


@torch.no_grad()
def evaluate_depth(
    model: nn.Module,
    files: DepthFiles,
    resize: Resize | None,
    quantity: Quantity,
    options: DepthEvaluation,
    loading: Loading | None = None,
) -> Scores:
    """Score ``model`` on every image of ``files``, in float32, on the device the model is on.

    Args:
        model: changed to evaluation mode.
        files: the images and depth maps.
        resize: what images are brought to before the model, or None.
        quantity: that the model predicts.
        options: how predictions are aligned.
        loading: how images are loaded.

    Returns:
        the scores of :class:`densekd.tasks.depth.metric.DepthMetric`, ``absrel_interval`` (95 %,
        over images), ``by_image`` (``[N, 4]``: the three scores, and 1 where something was measured), ``images``
        and ``parameters``.
    """
    device = device_of(model.eval())
    metric = DepthMetric().to(device)
    for samples in _batches(files, resize, loading):
        for prediction, truth in predictions(model, samples, device):
            _count(metric, prediction, truth, quantity, options)
    return _scores_of(metric, model, files)


@torch.no_grad()
def compare_depth(
    models: Mapping[str, nn.Module],
    files: DepthFiles,
    resize: Resize | None,
    scored: tuple[Quantity, DepthEvaluation],
    loading: Loading,
    kept: Sequence[int] = (),
) -> Compared:
    """Score several models in one pass, and compare student and teacher where both are there.

    Args:
        models: by their roles, all on one device; changed to evaluation mode.
        files, resize, loading: as of :func:`evaluate_depth`.
        scored: what the models predict, and how predictions are aligned.
        kept: numbers of the images whose predictions, float32 ``[H, W]``, are returned.
    """
    device = device_of(next(iter(models.values())))
    metrics = {role: DepthMetric().to(device) for role in models}
    predicted: dict[str, dict[int, Any]] = {role: {} for role in models}
    for model in models.values():
        model.eval()
    both = STUDENT in models and TEACHER in models
    values: list[Tensor] = []
    number = 0
    for samples in _batches(files, resize, loading):
        for parts in predictions_of(models, predictions, samples, device):
            for role, (prediction, truth) in parts.items():
                _count(metrics[role], prediction, truth, *scored)
                for wanted in kept:
                    if number <= wanted < number + len(truth):
                        predicted[role][wanted] = prediction[wanted - number].float().cpu().numpy()
            if both:
                values += _correlations(parts[STUDENT][0], parts[TEACHER][0])
            number += len(truth)
    found = {role: _scores_of(metrics[role], model, files) for role, model in models.items()}
    if both:
        found[STUDENT] |= _mean_correlation(values)
    return Compared(found, predicted)


@torch.no_grad()
def map_correlation(student: nn.Module, teacher: nn.Module, files: DepthFiles, resize: Resize | None) -> Scores:
    """Compare two models without labels: Pearson's correlation of their maps, the mean over images.

    It does not depend on scale and shift of either.

    Args:
        student, teacher: changed to evaluation mode.
        files: the images.
        resize: as in :func:`evaluate_depth`.
    """
    device = device_of(student.eval())
    teacher.eval()
    values: list[Tensor] = []
    for samples in evaluation_loader(EvaluationSet(files, resize), Loading().batch, workers=0):
        ours, theirs = predictions(student, samples, device), predictions(teacher, samples, device)
        for (mine, _), (reference, _) in zip(ours, theirs, strict=True):
            values += _correlations(mine, reference)
    return _mean_correlation(values)


def _batches(files: DepthFiles, resize: Resize | None, loading: Loading | None) -> Iterable[Any]:
    """Load all images, with a bar where there are many."""
    loading = loading or Loading()
    batches = evaluation_loader(EvaluationSet(files, resize), loading.batch, loading.workers)
    return track(batches, "evaluating", shown=len(files) >= 20)


def _count(
    metric: DepthMetric, prediction: Tensor, truth: Tensor, quantity: Quantity, options: DepthEvaluation
) -> None:
    # What is not scored has no part in the alignment either.
    truth = scored_truth(truth, options)
    metric.update(to_depth(prediction, truth, quantity, options), truth)


def _scores_of(metric: DepthMetric, model: nn.Module, files: DepthFiles) -> Scores:
    found = {**metric.compute(), "absrel_interval": metric.interval()}
    found[BY_IMAGE] = torch.cat(metric.images).cpu()
    return {**found, "images": len(files), "parameters": parameter_count(model)}


def _correlations(mine: Tensor, reference: Tensor) -> list[Tensor]:
    """Return Pearson's correlation of each pair of maps ``[B, H, W]``."""
    pairs = torch.stack([mine.flatten(1), reference.flatten(1)], 1).double()
    return [torch.corrcoef(pair)[0, 1].cpu() for pair in pairs]


def _mean_correlation(values: list[Tensor]) -> Scores:
    # A map that does not vary has no correlation with anything.
    return {"correlation": torch.stack(values).nan_to_num(0).mean().item()}
