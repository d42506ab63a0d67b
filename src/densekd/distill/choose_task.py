"""The task of a distillation that no recipe names: what the model, its labels or the caller say."""

from typing import Any

from torch import Tensor, nn

from densekd.distill.batches import as_batch, has_target
from densekd.distill.probe import at_rest, device_of
from densekd.errors import UserError
from densekd.tasks import Detection, NoTask, Segmentation, as_float

IGNORE_INDEX = 255


def choose_task(task: Any, model: nn.Module, batch: Any = None) -> Any:
    """Return a task, built where only its name is given, or not even that.

    Args:
        task: a task, which is returned; a name of ``densekd.tasks.TASKS``, or ``package.module:Name``; ``none``: no
            loss of the student's own. None: what the model can do, or ``none`` where the batch has no labels.
        model: the student.
        batch: of the training data, to measure how many classes a plain module tells apart.

    Raises:
        UserError: an unknown name, or a model whose number of classes cannot be told.
    """
    if task is not None and not isinstance(task, str):
        return task
    unlabelled = batch is not None and not has_target(as_batch(batch))
    name = task or ("none" if unlabelled else _usual_task(model))
    scored_as = _usual_task(model) if name == "none" else name
    count = _num_classes(model, batch)
    built = Detection(count) if scored_as == "detection" else Segmentation(count, IGNORE_INDEX)
    return NoTask(built) if name == "none" else built


def _usual_task(model: nn.Module) -> str:
    return "detection" if hasattr(model, "losses") and hasattr(model, "detect") else "segmentation"


def _num_classes(model: nn.Module, batch: Any) -> int:
    """Return what the model says, or the channels of its logits for one image of the batch."""
    known: int | None = getattr(model, "num_classes", None)
    if known is not None:
        return known
    if batch is None:
        raise UserError(
            f"{type(model).__name__} has no num_classes, so that its task cannot be told; name it, for instance "
            "task=Segmentation(num_classes, ignore_index=255)."
        )
    images = as_float(as_batch(batch)["images"][:1]).to(device_of(model))
    with at_rest(model):
        output = model(images)
    # A student of features alone has no logits, and no classes to be scored by.
    return output.shape[1] if isinstance(output, Tensor) and output.ndim == 4 else 1
