"""Outputs of detectors in a graph: raw maps, or decoded boxes with class scores; suppression stays outside."""

from dataclasses import asdict
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torchvision.ops import box_convert

from densekd.errors import RecipeError
from densekd.models.detection.coding import clip
from densekd.models.detection.dense import Maps, permute_and_flatten
from densekd.models.detection.selection import Selection, concatenate, suppress, top_scores
from densekd.models.sources.detector import Queries
from densekd.ops.boxes import Detections

# Raw outputs of queries: boxes as center and size in units of the picture.
_SET = ["logits", "query_boxes"]


class Decoding(NamedTuple):
    """How boxes and scores become detections.

    Args:
        kind: ``dense``: the best of every level, then non-maximum suppression within each class;
            ``set``: one per query.
        selection: thresholds and numbers of ``dense``.
        levels: number of boxes of each level.
        scores: of a ``set``: ``sigmoid`` (pairs of query and class compete) or ``softmax``.
    """

    kind: Literal["dense", "set"]
    selection: Selection | None
    levels: tuple[int, ...]
    scores: str = "sigmoid"

    def to_json(self) -> dict[str, Any]:
        """Return what ``model.json`` says of it."""
        if self.selection is None:
            return {"kind": self.kind, "scores": self.scores}
        return {"kind": self.kind, "levels": list(self.levels), **asdict(self.selection)}


class BoxOutput(nn.Module):
    """Decoded boxes ``[B, N, 4]`` in pixels of the input and class scores ``[B, N, C]``.

    Args:
        model: a detector with a dense head, or one that answers with a set.
        size: height and width of the input.

    Raises:
        RecipeError: a detector whose boxes are decoded by itself alone.
    """

    def __init__(self, model: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.is_set = not hasattr(getattr(model, "head", None), "boxes")
        if self.is_set and getattr(model, "spec", None) is None:
            raise RecipeError(
                f"{type(model).__name__}: its second stage reads what the first one found after non-maximum "
                "suppression, which stays outside of graphs. Export a dense detector or one that answers with a set."
            )
        # Not a child: the model is exported once.
        self._model = (model,)

    def forward(self, output: Any) -> tuple[Tensor, ...]:
        """Return boxes and scores."""
        if self.is_set:
            return self._of_set(output)
        head: Any = self._model[0].head
        boxes = torch.cat(head.boxes(output), 1)
        scores = [permute_and_flatten(cls, head.num_classes).sigmoid() for cls in output.cls]
        return boxes, torch.cat(scores, 1)

    def _of_set(self, output: Queries) -> tuple[Tensor, ...]:
        corners = box_convert(output.boxes, "cxcywh", "xyxy")
        height, width = self.size
        boxes = corners * torch.tensor([width, height, width, height], dtype=corners.dtype)
        if self._model[0].spec.scores == "softmax":  # type: ignore[union-attr]
            # Without "no object", which comes last.
            return boxes, output.logits.softmax(2)[..., :-1]
        return boxes, output.logits.sigmoid()


class RawMaps(nn.Module):
    """The head's own maps: ``cls_0``, ``cls_1``, ..., ``reg_0``, ...; ``logits`` and ``boxes`` of a set."""

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self.names = names
        self.is_set = names == _SET

    def forward(self, output: Any) -> tuple[Tensor, ...]:
        """Return the maps."""
        if isinstance(output, Queries):
            return output.logits, output.boxes
        return (*output.cls, *output.reg)

    def rebuilt(self, arrays: list[Tensor], size: tuple[int, int]) -> Any:
        """Return the head's output again, from the arrays of an engine."""
        if self.is_set:
            return Queries(arrays[0], arrays[1], size, ((), {}))
        half = len(arrays) // 2
        return Maps(tuple(arrays[:half]), tuple(arrays[half:]))


def raw_maps(model: nn.Module) -> RawMaps:
    """Return what hands out the maps of a detector.

    Raises:
        RecipeError: a two-stage detector, whose second stage runs on what the first found.
    """
    head: Any = getattr(model, "head", None)
    if hasattr(head, "boxes"):
        levels = len(head.anchors.strides)
        return RawMaps([f"{kind}_{k}" for kind in ("cls", "reg") for k in range(levels)])
    if getattr(model, "spec", None) is not None:
        return RawMaps(_SET)
    raise RecipeError(f"{type(model).__name__}: export knows dense detectors and those that answer with a set.")


@torch.no_grad()
def decoding_of(model: nn.Module, image: Tensor) -> Decoding:
    """Return how a detector's boxes become detections.

    Args:
        model: the detector.
        image: one picture, float ``[1, 3, H, W]``, for the numbers of boxes.
    """
    head: Any = getattr(model, "head", None)
    if hasattr(head, "boxes"):
        levels = tuple(boxes.shape[1] for boxes in head.boxes(model(image)))
        return Decoding("dense", head.selection, levels)
    spec: Any = model.spec
    return Decoding("set", None, (), spec.scores)


def decoded(boxes: Tensor, scores: Tensor, decoding: Decoding, size: Tensor) -> Detections:
    """Return the detections of one picture, as the model's own ``detect`` does.

    Args:
        boxes, scores: ``[N, 4]``, ``[N, C]``.
        decoding: of the model.
        size: ``[2]``, height and width without padding.
    """
    if decoding.kind == "dense":
        assert decoding.selection is not None
        levels = []
        parts = zip(boxes.split(decoding.levels), scores.split(decoding.levels), strict=True)
        for box, score in parts:
            kept, place, label = top_scores(score, decoding.selection)
            levels.append(Detections(clip(box[place], size), kept, label))
        return suppress(concatenate(levels), decoding.selection)
    if decoding.scores == "softmax":
        best, label = scores.max(1)
        best, query = best.sort(descending=True, stable=True)
        label = label[query]
    else:
        best, pair = scores.flatten().topk(len(scores))
        label, query = pair % scores.shape[1], pair // scores.shape[1]
    box = clip(boxes[query], size)
    inside = (box[:, 2:] > box[:, :2]).all(1)
    return Detections(box[inside], best[inside], label[inside])
