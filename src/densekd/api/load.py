"""``densekd.load``: a finished model from wherever it lies, ready to predict."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from torch import nn

from densekd.api.predict import ImagePredictor
from densekd.builders.task import packaged_task
from densekd.models.open import open_model
from densekd.models.package import PackageConfig
from densekd.run.evaluate import evaluation_of
from densekd.trust import trusting


class LoadedModel(nn.Module):
    """Type of what :func:`load` returns: the model's own class, with three attributes more.

    A model is a plain module, so this class is for type checkers alone.
    """

    # Predicts pictures at their own size.
    predict: ImagePredictor
    # The names of the classes, in the order of the labels, and their RGB colors.
    classes: tuple[str, ...]
    palette: tuple[tuple[int, ...], ...]


def load(
    source: str | Path,
    *,
    model: str | None = None,
    options: Mapping[str, Any] | None = None,
    num_classes: int | None = None,
    trust: Sequence[str] = (),
) -> LoadedModel:
    """Load a model as a plain module in evaluation mode, without any trace of its training.

    Args:
        source: a run folder, a student package, a checkpoint or weights file of densekd or of any
            project that it knows, a URL, ``owner/name`` of the Hugging Face hub, ``hf:NAME``,
            ``package.module:Name``; see :func:`densekd.models.open.open_model`.
        model: architecture of a file that does not say it.
        options: arguments of the architecture that the file does not say, or says wrong.
        num_classes: C, where neither the file nor its weights tell.
        trust: modules, ``package.module`` or ``package.module:Name``, that a package may name as its model
            or task. Nothing else of a file is imported.

    Returns:
        The model. It takes float RGB in [0, 1], ``[B, 3, H, W]``, and returns logits ``[B, C, h,
        w]`` at its own stride; ``model.align_corners`` says how to resize them. Of a detector's
        output ``model.detect`` makes boxes. ``model.predict(image)`` does all of it for pictures;
        ``model.classes`` and ``model.palette`` say what the labels mean.

    Raises:
        densekd.errors.UserError: nothing there, something damaged or unknown, or a module of a file that
            ``trust`` does not name.
    """
    with trusting(trust):
        opened = open_model(source, model=model, options=options, num_classes=num_classes)
        # Predictions are made in the mode that the run's recipe names: windows, scales, mirror images.
        task = packaged_task(opened.config, evaluation_of(Path(source), ()))
    predictor = ImagePredictor(task, opened.model, opened.config)
    return with_prediction(opened.model, predictor, opened.config)


def with_prediction(model: nn.Module, predictor: ImagePredictor, config: PackageConfig) -> LoadedModel:
    """Set ``predict``, ``classes`` and ``palette``; parameters and their names stay."""
    loaded = cast("LoadedModel", model)
    loaded.predict = predictor
    loaded.classes = tuple(config.classes)
    loaded.palette = tuple(tuple(color) for color in config.palette)
    return loaded
