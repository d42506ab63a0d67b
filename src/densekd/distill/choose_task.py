"""The task of a distillation that no recipe names: what the model, its labels or the caller say."""

from typing import Any

from torch import Tensor, nn

from densekd.distill.batches import as_batch, has_target
from densekd.distill.probe import at_rest
from densekd.doors import TASK
from densekd.errors import UserError
from densekd.models import contract
from densekd.registry import construct, resolve
from densekd.tasks import TASKS, NoTask, TrainingTask
from densekd.tasks.common import device_of, to_float

IGNORE_INDEX = 255


def choose_task(task: TrainingTask | str | None, model: nn.Module, batch: Any = None) -> TrainingTask:
    """Return a task, built where only its name is given, or not even that.

    Args:
        task: a task, which is returned; a name of ``densekd.tasks.TASKS``, or
            ``package.module:Name``; ``none``: no loss of the student's own. None: what the model
            can do, or ``none`` where the batch has no labels.
        model: the student.
        batch: of the training data, to measure how many classes a plain module tells apart.

    Raises:
        UserError: an unknown name, or a model whose number of classes cannot be told.
    """
    if task is not None and not isinstance(task, str):
        return task
    unlabelled = batch is not None and not has_target(as_batch(batch))
    name = task or ("none" if unlabelled else contract.task_of(model))
    scored_as = contract.task_of(model) if name == "none" else name
    supplied = {"num_classes": _num_classes(model, batch), "ignore_index": IGNORE_INDEX}
    built: TrainingTask = construct(resolve(scored_as, TASKS, "task", door=TASK), {}, supplied, "task")
    return NoTask(built) if name == "none" else built


def logit_channels(model: nn.Module, images: Tensor) -> int | None:
    """Return the channels of a model's logits, from one forward pass; None without logits.

    Args:
        model: any module.
        images: float in [0, 1], ``[B, 3, H, W]``.
    """
    with at_rest(model):
        output = model(images.to(device_of(model)))
    return output.shape[1] if isinstance(output, Tensor) and output.ndim == 4 else None


def _num_classes(model: nn.Module, batch: Any) -> int:
    """Return what the model says, or the channels of its logits for one image of the batch."""
    known = contract.num_classes(model)
    if known is not None:
        return known
    if batch is None:
        raise UserError(
            f"{type(model).__name__} has no num_classes, so that its task cannot be told; name it, for instance "
            "task=Segmentation(num_classes, ignore_index=255)."
        )
    # A student of features alone has no logits, and no classes to be scored by.
    return logit_channels(model, to_float(as_batch(batch)["images"][:1])) or 1
