"""Score a segmentation model on whole images at their original size."""

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Le, Lt, MaxLen, MinLen
from torch import nn

from densekd.data.files import SegmentationFiles
from densekd.data.loaders import evaluation_loader
from densekd.data.maps import EvaluationSet, Resize
from densekd.ops.ranges import Scale, Size
from densekd.tasks.common import device_of, parameter_count
from densekd.tasks.protocol import BY_IMAGE, Scores
from densekd.tasks.segmentation.boundary import BoundaryScore
from densekd.tasks.segmentation.calibration import Calibration
from densekd.tasks.segmentation.confusion import Absent, ConfusionMatrix, confidence_interval, scores
from densekd.tasks.segmentation.inference import Inference, Window
from densekd.tasks.segmentation.whole_images import WholeImages
from densekd.terminal import track

# Images that are loaded together; those of one size are predicted together.
_BATCH = 8


@dataclass(frozen=True)
class SegmentationEvaluation:
    """How whole images are predicted and scored: the keys of a recipe's ``evaluation``.

    Args:
        crop: height and width of sliding windows, or None: the whole image at once.
        stride: vertical and horizontal step of the windows; default: two thirds of the crop's own
            side, rounded up. ``height``: two thirds of its height on both axes (TorchDistiller).
        scales: factors on the image's size, whose predictions are averaged (test-time
            augmentation).
        flip: ``horizontal`` also predicts the mirrored image.
        average: what scales and mirror images average.
        divisor: each image is stretched so that its sides are multiples of it, rounded up, after
            any other resizing (SegFormer's and SegDistill's ``AlignedResize``: 32).
        absent: what classes that never occur do to the means: ``excluded``, or ``zero``
            (TorchDistiller, CIRKD, HWD).
        boundary: tolerance of the boundary F-score in image diagonals; 0 leaves the score out,
            which takes time.

    Raises:
        ValueError: a stride without crop, or one that leaves gaps.
    """

    crop: Size | None = None
    stride: Size | Literal["height"] | None = None
    scales: Annotated[tuple[Scale, ...], MinLen(1), MaxLen(32)] = (1.0,)
    flip: Literal["none", "horizontal"] = "none"
    average: Literal["softmax", "logits"] = "softmax"
    divisor: Annotated[int, Ge(1), Le(65_536)] = 1
    absent: Absent = "excluded"
    boundary: Annotated[float, Ge(0), Lt(1)] = 0.0

    def __post_init__(self) -> None:
        # Without a stride, the default fits any crop.
        if self.stride is None:
            return
        fits = False
        if self.crop is not None:
            down, across = self._step(self.crop)
            fits = down <= self.crop[0] and across <= self.crop[1]
        if not fits:
            raise ValueError("stride needs a crop that is at least as large, or windows leave gaps")

    @property
    def inference(self) -> Inference:
        """The mode in which whole images are predicted."""
        window = None
        if self.crop is not None:
            window = Window(self.crop, self._step(self.crop))
        return Inference(window, self.scales, self.flip, self.average, self.divisor)

    def _step(self, crop: Size) -> Size:
        """Return the vertical and horizontal step of windows of a size."""
        height, width = (math.ceil(side * 2 / 3) for side in crop)
        if self.stride is None:
            return height, width
        if self.stride == "height":
            return height, height
        return self.stride


def evaluate_labels(
    model: nn.Module,
    files: SegmentationFiles,
    resize: Resize | None,
    options: SegmentationEvaluation,
    workers: int = 0,
) -> Scores:
    """Score ``model`` on every image of ``files``, in float32, on the device the model is on.

    The logits are enlarged to each label's own size, so that a model fed smaller images is scored
    on original pixels.

    Args:
        model: changed to evaluation mode.
        files: the images and labels.
        resize: what images are brought to before the model, see :mod:`densekd.data.maps`, or None.
        options: what is measured, and how images are predicted for it.
        workers: loading processes.

    Returns:
        The means of :func:`densekd.tasks.segmentation.confusion.scores` in percent,
        ``miou_interval`` (95 %, over images), ``ece`` (calibration error), ``boundary`` where asked
        for, ``iou`` and ``acc`` by class name, ``confusion`` (pixels by label and prediction),
        ``by_image`` (``[N, 3, C]`` counts, see :class:`ConfusionMatrix`), ``images`` and ``parameters``.
    """
    names, ignore_index = files.classes.names, files.classes.ignore_index
    device = device_of(model.eval())
    whole_images = WholeImages(len(names), options.inference)
    metric = ConfusionMatrix(len(names), ignore_index).to(device)
    calibration = Calibration(ignore_index)
    outlines: BoundaryScore | None = None
    if options.boundary:
        outlines = BoundaryScore(len(names), ignore_index, options.boundary)
    batches = evaluation_loader(EvaluationSet(files, resize), _BATCH, workers)
    with torch.no_grad():
        for samples in track(batches, "evaluating", shown=len(files) >= 20):
            for predicted, labels in whole_images.predictions(model, samples, device):
                metric.update(predicted.label, labels)
                calibration.update(predicted.label, predicted.confidence, labels)
                if outlines is not None:
                    outlines.update(predicted.label, labels)
    found: dict[str, Any] = scores(metric.counts, options.absent)
    # What belongs to a class goes by its name.
    for key in ("iou", "acc"):
        found[key] = dict(zip(names, found.pop(key), strict=True))
    found["miou_interval"] = confidence_interval(metric.images)
    found["ece"] = calibration.compute()
    found["confusion"] = metric.counts.tolist()
    found[BY_IMAGE] = torch.cat(metric.images).cpu()
    if outlines is not None:
        found["boundary"] = outlines.compute()
    return {**found, "images": len(files), "parameters": parameter_count(model)}


def label_agreement(
    student: nn.Module,
    teacher: nn.Module,
    files: SegmentationFiles,
    resize: Resize | None,
    inference: Inference,
) -> Scores:
    """Compare two models pixel by pixel.

    Labels only say which pixels are void, and without labels none is.

    Args:
        student, teacher: of the same classes; changed to evaluation mode.
        files: the images and labels.
        resize: as in :func:`evaluate_labels`.
        inference: for both.

    Returns:
        in percent: ``agreement``, the share of pixels to which both give one class;
        ``agreement_miou``, the student's mIoU when the teacher is taken for the truth;
        ``calibration``, the student's calibration error against the teacher's classes.
    """
    device = device_of(student.eval())
    teacher.eval()
    num_classes, ignore_index = len(files.classes.names), files.classes.ignore_index
    whole_images = WholeImages(num_classes, inference)
    metric = ConfusionMatrix(num_classes, ignore_index).to(device)
    calibration = Calibration(ignore_index)
    with torch.no_grad():
        for samples in evaluation_loader(EvaluationSet(files, resize), _BATCH, workers=0):
            ours = whole_images.predictions(student, samples, device)
            theirs = whole_images.predictions(teacher, samples, device)
            for (mine, labels), (truth, _) in zip(ours, theirs, strict=True):
                # The teacher stands in for the labels, but for void.
                reference = truth.label
                if files.labels == "present":
                    reference = reference.where(labels != ignore_index, ignore_index)
                metric.update(mine.label, reference)
                calibration.update(mine.label, mine.confidence, reference)
    found = metric.compute()
    return {
        "agreement": found["aacc"],
        "agreement_miou": found["miou"],
        "calibration": calibration.compute(),
    }
