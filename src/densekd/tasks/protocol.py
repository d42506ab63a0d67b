"""Task contract: everything that differs between kinds of output, as the rest of densekd asks it.

The distiller, the builders, the run, the report, the command line and the data check ask a task;
none of them asks which one it is. A task from outside needs no edit of this package: a recipe names
it ``package.module:Name``.

``Any`` stands for what a task alone knows the type of: its files, samples, outputs and targets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from densekd.data.contract import EvaluationData, Files, Labels, TrainingData
from densekd.data.facts import Facts
from densekd.data.maps import Resize
from densekd.data.photometric import Photometric
from densekd.data.transforms import Padding
from densekd.metric_names import MetricNames
from densekd.models.package import PackageConfig

# What a training set collates: ``images``, and what the task puts beside them.
Batch = Mapping[str, Any]
# What a task scored: key -> number, list or mapping. What the task's ``metrics`` name is a number or
# None.
Scores = dict[str, Any]
# Key of a tensor ``[N, ...]`` among them: what is known of each image, from which the headline of any
# selection of images can be computed, see :mod:`densekd.run.image_scores`. Files of results leave it out.
BY_IMAGE = "by_image"
Color = tuple[int, int, int]


@dataclass(frozen=True)
class Augmentation:
    """Random views of the training images: a recipe's ``augment``, and what makes them reproducible.

    Args:
        resize: what every image is first brought to, or None.
        seed: of everything random.
        cache_bytes: decoded images are kept in each process up to this size.
        crop: height and width of random crops, or None.
        short_side: range of the limit of the shorter side, or None.
        scale: range of the random factor before a crop.
        flip: probability of a horizontal flip.
        photometric: random brightness, contrast, saturation and hue, and whose.
        padding: of crops that reach beyond the image, before or after flip and distortion.
        max_class_share: crops are redrawn while one class covers more; 1: never.
        band_means: of images of other bands than RGB, in units of [0, 1], for padding; saturation and
            hue are left alone; None: RGB.
    """

    resize: Resize | None = None
    seed: int = 0
    cache_bytes: int = 0
    crop: tuple[int, int] | None = None
    short_side: tuple[int, int] | None = None
    scale: tuple[float, float] = (0.5, 2.0)
    flip: float = 0.5
    photometric: Photometric = "none"
    padding: Padding = "first"
    max_class_share: float = 0.75
    band_means: tuple[float, ...] | None = None


class Figure(NamedTuple):
    """A drawing of a finished student's scores, for its run folder and report.

    Args:
        name: of the file, without suffix.
        title: what the report writes above it.
        description: what is drawn, for those who cannot see it.
        svg: the drawing.
    """

    name: str
    title: str
    description: str
    svg: str


class Metric(Protocol):
    """An accumulator of scores.

    It is an ``nn.Module``, so that what it counts lives where the model does.
    """

    def to(self, device: torch.device) -> Any:
        """Move what is counted to a device, in place, and return the accumulator."""
        ...

    def reset(self) -> None:
        """Forget everything."""
        ...

    def gather(self) -> None:
        """Collect from all processes, each of which must call this; alone, do nothing."""
        ...

    def compute(self) -> Scores:
        """Return the scores of what was counted.

        None stands for what was not counted; lists are those of classes.
        """
        ...


class Predictor(Protocol):
    """A model and all that it takes to predict pictures and write what it finds."""

    @property
    def writes(self) -> tuple[str, ...]:
        """Names of the files and folders that :meth:`predict_folder` leaves behind."""
        ...

    def __call__(self, image: np.ndarray) -> Any:
        """Predict a decoded image, uint8 RGB ``[H, W, 3]``, at its own size."""
        ...

    def drawn(self, image: np.ndarray) -> Image.Image:
        """Predict a decoded image and draw over it what was found."""
        ...

    def predict_folder(self, images: Path, out: Path, resume: bool = False) -> int:
        """Predict one image or all images below a folder into ``out``; return how many.

        Args:
            images: an image or a folder.
            out: the folder to fill.
            resume: leave out what an earlier prediction into ``out`` has done.

        Raises:
            UserError: no image there, or a damaged one.
        """
        ...

    def write_submission(self, images: Path, out: Path, benchmark: str) -> int:
        """Predict all images below a folder as a benchmark's server wants them; return how many.

        Raises:
            UserError: a benchmark of another task, or one that does not fit the model.
        """
        ...


class TrainingTask(Protocol):
    """What a training step asks: the student's own loss, and the scores of its validation."""

    @property
    def metrics(self) -> MetricNames:
        """The names of its scores, and which of them is the headline."""
        ...

    def student_taps(self, student: nn.Module) -> list[str]:
        """Return the taps that the task's own loss reads besides the output.

        Raises:
            UserError: a student that cannot learn this task.
        """
        ...

    def images(self, batch: Batch) -> Tensor:
        """Return float RGB in [0, 1], ``[B, 3, H, W]``; the batch is not changed."""
        ...

    def target(self, batch: Batch) -> Any:
        """Return what losses learn from: labels ``[B, H, W]``, boxes, depths, ..."""
        ...

    def losses(
        self, student: nn.Module, output: Any, student_features: Mapping[str, Tensor], target: Any
    ) -> dict[str, Tensor]:
        """Return the weighted summands of the student's own loss.

        Args:
            student: the model that is trained.
            output: what it returned.
            student_features: its taps.
            target: of :meth:`target`.
        """
        ...

    def metric(self) -> Metric:
        """Return a new accumulator for :meth:`evaluate`."""
        ...

    def evaluate(self, model: nn.Module, samples: Sequence[Any], metric: Any) -> None:
        """Add samples of an evaluation set to ``metric``."""
        ...


class Task(TrainingTask, Protocol):
    """One kind of output: loss step, data, evaluation, prediction, pictures and metrics.

    A task is an ``nn.Module``. Its constructor's signature is the schema of a recipe's ``task``;
    what the build knows it supplies under the names ``num_classes``, ``ignore_index``, ``files``
    (of the training split) and ``evaluation`` (an instance of ``evaluation_options``), as far as
    the constructor asks for them.
    """

    # The dataclass of the files that the task reads.
    files_type: ClassVar[type[Files]]
    # The dataclass whose signature is the schema of a recipe's ``evaluation``.
    evaluation_options: ClassVar[type]
    # Whether images are resized with their aspect ratio kept, as boxes want them.
    keeps_aspect_ratio: ClassVar[bool]

    # Files: how a data check and an evaluation read them.

    @staticmethod
    def counted(files: Any) -> dict[str, tuple[str, ...]]:
        """Name what a data check counts in these files, kind by kind; the classes come first."""
        ...

    @staticmethod
    def look(files: Any) -> Facts:
        """Read the one image of these files with what lies beside it, and note what is odd.

        Raises:
            UserError: anything that would stop a training.
        """
        ...

    @staticmethod
    def folder(root: Path, split: str, package: PackageConfig) -> Files:
        """Find the files of a data folder in the task's plain layout, for a model's package.

        Raises:
            UserError: the folder is not laid out so, or the task has no such layout.
        """
        ...

    # What is known before any model is there.

    @property
    def chance(self) -> float | None:
        """The headline's value for a model that guesses, or None where there is no such value."""
        ...

    @property
    def package_options(self) -> dict[str, Any]:
        """The options that predictions and scores depend on: a package carries them."""
        ...

    # Data: what a training and an evaluation read, and what losses are tried on.

    def training_set(self, files: Any, views: Augmentation) -> TrainingData:
        """Return augmented samples.

        Raises:
            RecipeError: a view that this task does not have.
        """
        ...

    def evaluation_set(self, files: Any, resize: Resize | None) -> EvaluationData:
        """Return whole images as a model sees them, each with what it is scored against."""
        ...

    def probe_target(self, size: tuple[int, int], labels: Labels) -> Any:
        """Return a target of one image of this (height, width), on which losses are tried."""
        ...

    # Finished models: scores, comparison, drawings, predictions.

    def fits(self, model: nn.Module, images: Tensor) -> bool:
        """Say whether a model's output for float images ``[B, 3, H, W]`` can be scored."""
        ...

    def scores(self, model: nn.Module, files: Any, resize: Resize | None, workers: int = 0) -> Scores:
        """Score ``model`` on every image of ``files``, in float32, on the device the model is on.

        Args:
            model: changed to evaluation mode.
            files: the images and what they are scored against.
            resize: what images are brought to before the model, or None.
            workers: loading processes.

        Returns:
            the scores that ``metrics`` names, ``images`` and ``parameters``; and ``by_image``, where
            there is such a tensor.
        """
        ...

    def agreement(self, student: nn.Module, teacher: nn.Module, files: Any, resize: Resize | None) -> Scores:
        """Compare two models' predictions without labels; nothing where that has no meaning."""
        ...

    def figures(self, scores: Scores, files: Any) -> list[Figure]:
        """Draw what is worth more than a number about the scores of one model."""
        ...

    def legend(self, files: Any) -> dict[str, Color]:
        """Return what the colors of the pictures mean, RGB in 0..255."""
        ...

    def predictor(self, model: nn.Module, package: PackageConfig) -> Predictor:
        """Return a model with all that it takes to predict pictures like its training images."""
        ...

    def sample_pictures(self, predictors: Mapping[str, Any], files: Any, out: Path, indices: Sequence[int]) -> None:
        """Write pictures of some images of a split.

        ``<stem>.image.png``, ``.truth.png``, and for each model ``.<name>.png`` and
        ``.<name>-errors.png``.
        """
        ...
