"""Label pictures and write what was found: label PNGs, overlays, the sample pictures of a report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image
from torch import nn

from densekd.data.classes import Classes
from densekd.data.files import SegmentationFiles, pair_by_stem, read_image
from densekd.data.folder import folder
from densekd.data.holdout import ALL
from densekd.data.large_images import LargeImage, large_image
from densekd.data.maps import Resize, to_model_input
from densekd.data.picture import RGB, Bands, shown_bands
from densekd.models.package import PackageConfig
from densekd.ops.finite import output_of
from densekd.tasks.common import (
    device_of,
    images_at,
    one_at_a_time,
    predict_each,
    require_all,
    sample_path,
    save_picture,
)
from densekd.tasks.records import Records
from densekd.tasks.segmentation.inference import WHOLE, FilePixels, Inference
from densekd.tasks.segmentation.pictures import color_picture, error_picture, overlay
from densekd.tasks.segmentation.submission import (
    require_benchmark,
    submission_images,
    submission_picture,
    submission_values,
)
from densekd.tasks.segmentation.whole_images import WholeImages
from densekd.terminal import logger, track

_LOG = logger()
# Longer side of the overlay of a large picture: as much as a viewer opens with ease.
LONGEST_OVERLAY = 4096


@dataclass(frozen=True)
class LabelPredictor:
    """A model and all that it takes to label a picture.

    Args:
        model: changed to evaluation mode when it is used.
        classes: what its logits mean.
        resize: what images are brought to before the model, see :mod:`densekd.data.maps`, or None.
        inference: whole images, windows, scales.
        bands: that are read of pictures; 3: RGB.
    """

    model: nn.Module
    classes: Classes
    resize: Resize | None = None
    inference: Inference = WHOLE
    bands: Bands = RGB

    writes: ClassVar[tuple[str, ...]] = ("labels", "overlays")

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Predict the class numbers ``[H, W]`` (uint8) of a decoded image ``[H, W, N]`` at its own size."""
        whole_images = WholeImages(len(self.classes.names), self.inference)
        pixels = to_model_input(image, self.resize)[None].to(device_of(self.model))
        height, width = image.shape[:2]
        with one_at_a_time():
            label = whole_images.label(self.model.eval(), pixels, (height, width))
        array: np.ndarray = label[0].numpy()
        return array

    def label_large(self, image: LargeImage) -> np.ndarray:
        """Predict the class numbers ``[H, W]`` of a picture that is read window by window."""
        whole_images = WholeImages(len(self.classes.names), self.inference)
        pixels = FilePixels(image, device_of(self.model))
        with one_at_a_time():
            label = whole_images.label(self.model.eval(), pixels, image.size)
        array: np.ndarray = label[0].numpy()
        return array

    def drawn(self, image: np.ndarray) -> Image.Image:
        """Predict a decoded image and draw the classes over it."""
        return overlay(shown_bands(image), self(image), self.classes)

    def predict_folder(self, images: Path, out: Path, resume: bool = False, workers: int = 0) -> int:
        """Write ``labels/<stem>.png`` and ``overlays/<stem>.png`` for one image or all images below a folder.

        Returns:
            How many images were predicted.

        Raises:
            UserError: no image there; or damaged ones, after all others were predicted.
        """
        found = images_at(images)

        def write(stem: str, path: Path) -> None:
            label, blended = self._labelled(path)
            # The label is the picture: its pixels are the class numbers themselves.
            save_picture(color_picture(label, self.classes), out / "labels" / f"{stem}.png")
            save_picture(blended, out / "overlays" / f"{stem}.png", fast=True)

        require_all(predict_each(found, write, Records(out, resume), workers), len(found), out)
        return len(found)

    def _labelled(self, path: Path) -> tuple[np.ndarray, Image.Image]:
        """Predict a file; return its class numbers and its overlay, which is reduced for a large one."""
        large = self._large(path)
        if large is None:
            image = read_image(path, bands=self.bands)
            label = self(image)
            return label, overlay(shown_bands(image), label, self.classes)
        label = self.label_large(large)
        shown, factor = large.reduced(LONGEST_OVERLAY)
        if factor > 1:
            _LOG.warning("%s: its overlay has 1/%d of its height and width; labels have all pixels.", path, factor)
        return label, overlay(shown, np.ascontiguousarray(label[::factor, ::factor]), self.classes)

    def _large(self, path: Path) -> LargeImage | None:
        """Open a file that is read window by window; None where all pixels are needed at once."""
        if self.resize is not None or self.bands != RGB or not self.inference.reads_windows:
            return None
        return large_image(path)

    def write_submission(self, images: Path, out: Path, benchmark: str) -> int:
        """Predict all images below a folder into one flat folder of PNGs, as a benchmark's server wants them.

        See :mod:`densekd.tasks.segmentation.submission`.

        Returns:
            How many images were predicted.

        Raises:
            UserError: an unknown benchmark, a model of other classes, no image, or two of one name.
        """
        classes = require_benchmark(benchmark, self.classes)
        found = submission_images(images)
        # The server's numbers are looked up, for all pixels at once.
        values = submission_values(classes)
        for path in track(found, "predicting"):
            large = self._large(path)
            with output_of(str(path)):
                label = self(read_image(path, bands=self.bands)) if large is None else self.label_large(large)
            picture = submission_picture(values[label], classes, benchmark)
            save_picture(picture, out / f"{path.stem}.png")
        return len(found)


def labelled_folder(root: Path, split: str, package: PackageConfig) -> SegmentationFiles:
    """Find the files of a data folder in the ``folder`` layout.

    Without ``classes.json`` the classes are the model's.

    Raises:
        UserError: a missing or empty folder, or files that do not pair.
    """
    if (root / "classes.json").is_file():
        return folder(root, split)
    # Images that nothing divides lie in the folders themselves.
    part = "" if split == ALL else split
    pairs = pair_by_stem(root / "images" / part, root / "labels" / part)
    return SegmentationFiles(package.labels, pairs)


def label_samples(
    predictors: Mapping[str, LabelPredictor], files: SegmentationFiles, out: Path, indices: Sequence[int]
) -> None:
    """Write pictures of some images of a split.

    ``<stem>.image.png``, ``.truth.png``, and for each model ``.<name>.png`` and
    ``.<name>-errors.png``.
    """
    for index in indices:
        image, truth = files.pair(index)
        found = {name: predict(image) for name, predict in predictors.items()}
        _write_sample((image, truth), found, files, index, out)


def write_label_sample(
    predicted: Mapping[str, Sequence[np.ndarray]], files: SegmentationFiles, index: int, out: Path
) -> None:
    """Write the pictures of one image as :func:`label_samples` does, from what was predicted before.

    Args:
        predicted: of each model the class numbers ``[H, W]`` of every image.
        files, out: as of :func:`label_samples`.
        index: of the image.
    """
    found = {name: labels[index] for name, labels in predicted.items()}
    _write_sample(files.pair(index), found, files, index, out)


def _write_sample(
    pair: tuple[np.ndarray, np.ndarray],
    found: Mapping[str, np.ndarray],
    files: SegmentationFiles,
    index: int,
    out: Path,
) -> None:
    """Write what is there, then what each model says and where it is wrong."""
    image, truth = pair
    stem = files.items[index].stem
    shown = shown_bands(image)
    save_picture(Image.fromarray(shown), sample_path(out, stem, "image"))
    save_picture(color_picture(truth, files.classes), sample_path(out, stem, "truth"))
    for name, label in found.items():
        errors = error_picture(shown, label, truth, files.classes)
        save_picture(color_picture(label, files.classes), sample_path(out, stem, name))
        save_picture(errors, sample_path(out, stem, f"{name}-errors"))
