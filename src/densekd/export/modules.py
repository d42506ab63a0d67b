"""Modules that are exported: the model between a picture as it comes and the arrays that are asked for."""

from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from densekd.errors import RecipeError, suggest
from densekd.export.detectors import BoxOutput, kind_of, raw_maps
from densekd.export.pooling import fix_pooling
from densekd.export.resizing import ExactResizing
from densekd.export.spec import OUTPUTS, GraphInput, GraphOutput
from densekd.models import contract
from densekd.ops.interpolation import resize
from densekd.quantize import plan_of

# Classes whose numbers fit a byte.
_BYTE = 256


class ExportModule(nn.Module):
    """Model with its input and its output as an engine sees them.

    Args:
        model: float RGB in [0, 1], ``[B, 3, H, W]`` -> its own output.
        finish: from (output, height and width of the picture) to a tuple of tensors.
        kind: of the input, see :class:`densekd.export.spec.GraphInput`.
    """

    def __init__(self, model: nn.Module, finish: Callable[[Any], tuple[Tensor, ...]], taken: GraphInput) -> None:
        super().__init__()
        self.model = model
        self.finish = finish
        self.kind = taken.kind

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs."""
        if self.kind == "uint8":
            # A decoded picture: channels last, integers.
            image = image.permute(0, 3, 1, 2).float() / 255
        return self.finish(self.predicted(image))

    def predicted(self, image: Tensor) -> Any:
        """Return the model's own output for float pictures."""
        quantized = any(plan_of(part) is not None for part in self.model.modules())
        with ExactResizing() if quantized else nullcontext():
            return self.model(image)


class MapOutput(nn.Module):
    """Output of a model of maps: ``logits`` and ``depth`` as they are or enlarged, ``scores``, ``labels``.

    Args:
        kind: ``logits``: at the model's own stride; ``scores``: softmax at the input's size;
            ``labels``: class numbers at the input's size; ``depth``: at the input's size.
        size: height and width of the input.
        align_corners: how maps are enlarged.

    Shape:
        ``[B, C, h, w]`` -> ``[B, C, h, w]``, ``[B, C, H, W]`` or ``[B, H, W]``.
    """

    def __init__(self, kind: str, size: tuple[int, int], align_corners: bool) -> None:
        super().__init__()
        self.kind = kind
        self.size = size
        self.align_corners = align_corners

    def forward(self, maps: Tensor) -> tuple[Tensor, ...]:
        """Return the one output."""
        if self.kind == "logits":
            return (maps,)
        # Enlarged before the maximum is taken, as the evaluation does.
        enlarged = resize(maps, self.size, self.align_corners)
        if self.kind == "scores":
            return (enlarged.softmax(1),)
        if self.kind == "labels":
            dtype = torch.uint8 if maps.shape[1] <= _BYTE else torch.int32
            return (enlarged.argmax(1).to(dtype),)
        return (enlarged,)


def build_module(model: nn.Module, task: str, kind: str | None, taken: GraphInput) -> ExportModule:
    """Return the module to export: a copy of a model, with fixed pooling, between input and output.

    Args:
        model: as :func:`densekd.models.open.open_model` opens it.
        task: its name in ``TASKS``.
        kind: a name of ``OUTPUTS[task]``, None for the first.
        taken: the picture.

    Raises:
        RecipeError: a task or an output that cannot be exported.
    """
    kind = checked_output(task, kind)
    copy = deepcopy(model).eval().float().cpu()
    copy = copy.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    copy.requires_grad_(False)
    # An auxiliary head is for training alone.
    contract.drop_auxiliary(copy)
    # Means of integers lie between two of them often: engines have to round them alike.
    fix_pooling(copy, exact=any(plan_of(part) is not None for part in copy.modules()))
    if task == "detection":
        if kind == "boxes" and kind_of(copy) == "per_class" and taken.batch != 1:
            raise RecipeError("--batch: proposals of a two-stage detector are as many as a picture has; one at a time.")
        finish: nn.Module = BoxOutput(copy, taken.size) if kind == "boxes" else raw_maps(copy)
    else:
        finish = MapOutput(kind, taken.size, contract.align_corners(model))
    return ExportModule(copy, finish, taken).eval()


def checked_output(task: str, kind: str | None) -> str:
    """Return the name of the output that is meant.

    Raises:
        RecipeError: a task or an output that cannot be exported.
    """
    if task not in OUTPUTS:
        raise RecipeError(f"export knows models of {', '.join(OUTPUTS)}; this one predicts '{task}'.")
    if kind is None:
        return OUTPUTS[task][0]
    if kind not in OUTPUTS[task]:
        raise RecipeError(f"--output: {task} has no output '{kind}'. {suggest(kind, OUTPUTS[task])}")
    return kind


_MEANINGS = {
    "logits": "logits of the classes at the model's own stride",
    "scores": "probabilities of the classes, 0 to 1",
    "labels": "number of the class of every pixel",
    "depth": "depth of every pixel",
    "boxes": "corners x1, y1, x2, y2 in pixels of the input, before non-maximum suppression",
    "box_scores": "probabilities of the classes of every box, 0 to 1",
}


@torch.no_grad()
def describe_outputs(module: ExportModule, kind: str, taken: GraphInput) -> tuple[GraphOutput, ...]:
    """Run a module once on one picture and describe what it returns.

    Raises:
        Exception: whatever the model raises at a size that it cannot take.
    """
    outputs = module(taken.random(1, seed=0))
    names = _names(module, kind, len(outputs))
    described = []
    for name, output in zip(names, outputs, strict=True):
        meaning = _MEANINGS.get(name, "the head's raw output")
        dtype = str(output.dtype).removeprefix("torch.")
        described.append(GraphOutput(name, tuple(output.shape), dtype, meaning))
    return tuple(described)


def _names(module: ExportModule, kind: str, count: int) -> list[str]:
    """Name the outputs; those of a detector by what they are."""
    if kind == "boxes":
        return ["boxes", "box_scores"]
    if kind == "raw":
        finish: Any = module.finish
        return list(finish.names)
    assert count == 1
    return [kind]
