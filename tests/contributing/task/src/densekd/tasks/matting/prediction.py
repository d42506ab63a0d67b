"""Mattes as files: 8-bit PNGs, and the sample pictures of a report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from densekd.data.matting import MattingFiles
from PIL import Image
from torch import Tensor, nn

from densekd.data.files import read_image
from densekd.data.maps import Resize, to_model_input
from densekd.errors import UserError
from densekd.tasks.common import (
    device_of,
    images_at,
    predict_each,
    require_all,
    sample_path,
    save_picture,
    to_float,
    upsample,
)
from densekd.tasks.records import Records


def predict_alpha(model: nn.Module, images: Tensor, size: tuple[int, int]) -> Tensor:
    """Return opacities in [0, 1], ``[B, H, W]`` at ``size``, for images ``[B, 3, h, w]``."""
    return upsample(model, model(to_float(images)), size)[:, 0].sigmoid()


@dataclass(frozen=True)
class MattingPredictor:
    """A model and all that it takes to cut out the foreground of a picture.

    Args:
        model: changed to evaluation mode when it is used.
        resize: what images are brought to before the model, or None.
    """

    model: nn.Module
    resize: Resize | None = None

    writes: ClassVar[tuple[str, ...]] = ("mattes",)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Predict a decoded image ``[H, W, 3]``: float32 ``[H, W]`` at its own size."""
        pixels = to_model_input(image, self.resize)[None].to(device_of(self.model))
        with torch.no_grad():
            alpha = predict_alpha(self.model.eval(), pixels, (image.shape[0], image.shape[1]))
        array: np.ndarray = alpha[0].float().cpu().numpy()
        return array

    def drawn(self, image: np.ndarray) -> Image.Image:
        """Predict a decoded image and show the matte."""
        return _picture(self(image))

    def predict_folder(self, images: Path, out: Path, resume: bool = False) -> int:
        """Write ``mattes/<stem>.png`` for one image or all images below a folder; return how many."""
        found = images_at(images)

        def write(stem: str, path: Path) -> None:
            save_picture(self.drawn(read_image(path)), out / "mattes" / f"{stem}.png")

        require_all(predict_each(found, write, Records(out, resume)), len(found), out)
        return len(found)

    def write_submission(self, images: Path, out: Path, benchmark: str) -> int:
        """Refuse: no server is known.

        Raises:
            UserError: always.
        """
        raise UserError(f"{benchmark} does not take mattes: see mattes/*.png.")


def matting_samples(
    predictors: Mapping[str, MattingPredictor], files: MattingFiles, out: Path, indices: Sequence[int]
) -> None:
    """Write image, truth, predictions and errors of some images of a split."""
    for index in indices:
        stem = files.items[index].stem
        image, matte = files.pair(index)
        save_picture(Image.fromarray(image), sample_path(out, stem, "image"))
        save_picture(Image.fromarray(matte), sample_path(out, stem, "truth"))
        for name, predict in predictors.items():
            alpha = predict(image)
            save_picture(_picture(alpha), sample_path(out, stem, name))
            save_picture(_picture(abs(alpha - matte / 255)), sample_path(out, stem, f"{name}-errors"))


def _picture(alpha: np.ndarray) -> Image.Image:
    return Image.fromarray((255 * alpha).round().astype(np.uint8))
