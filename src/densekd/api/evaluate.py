"""``densekd.evaluate``: scores of a finished model or any module."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from densekd.api.predict import ImagePredictor
from densekd.distill.batches import as_samples, peek
from densekd.distill.choose_task import choose_task
from densekd.distill.probe import at_rest
from densekd.errors import UserError
from densekd.tasks.common import device_of
from densekd.tasks.protocol import TrainingTask
from densekd.trust import trusting


def evaluate(
    model: str | Path | nn.Module,
    data: str | Path | Iterable[Any] | None = None,
    *,
    split: str | None = None,
    overrides: Sequence[str] = (),
    task: TrainingTask | str | None = None,
    trust: Sequence[str] = (),
) -> dict[str, Any]:
    """Score a model.

    Args:
        model: whatever :func:`densekd.load` opens, or any module.
        data: batches with labels, as :func:`densekd.distill` takes them; or, of a model that is
            loaded from somewhere, a data folder in any known layout or a recipe. None: the data of
            the model's own run.
        split: of a folder or recipe; None: ``val``, or the recipe's.
        overrides: ``key=value`` of the recipe's evaluation section, for a folder or recipe.
        task: for batches: a task, or a name of ``densekd.tasks.TASKS``; None: that of a model that
            was loaded, or what another module is made for.
        trust: modules that a package, and the recipe of a run, may name; see :func:`densekd.load`.

    Returns:
        The scores by name; see :mod:`densekd.tasks`.

    Raises:
        densekd.errors.UserError: no such model or data, or classes that do not fit.
    """
    from densekd.api.load import load
    from densekd.run.evaluate import evaluate_path

    if data is None or isinstance(data, str | Path):
        if isinstance(model, nn.Module):
            raise UserError("A module is scored on batches; give them, or the path of the model.")
        with trusting(trust):
            return evaluate_path(Path(model), None if data is None else Path(data), split, overrides)
    if not isinstance(model, nn.Module):
        model = load(model, trust=trust)
    return _score_batches(model, data, task)


def _score_batches(
    model: nn.Module,
    data: Iterable[Any],
    task: TrainingTask | str | None,
) -> dict[str, Any]:
    """Count every batch of a loader, in evaluation mode; the model's mode comes back."""
    predict = getattr(model, "predict", None)
    if task is None and isinstance(predict, ImagePredictor):
        task = predict.task
    # The first batch shows what a plain module is made for.
    first, batches = peek(data)
    chosen = choose_task(task, model, first)
    metric: Any = chosen.metric()
    # What counts pixels does so where the model is.
    if isinstance(metric, nn.Module):
        metric.to(device_of(model))
    seen = 0
    for batch in batches:
        samples = as_samples(batch, seen)
        with at_rest(model):
            chosen.evaluate(model, samples, metric)
        seen += len(samples)
    scores: dict[str, Any] = metric.compute()
    return scores
