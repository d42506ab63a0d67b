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


Kind = Literal["dense", "set", "per_class"]


class Decoding(NamedTuple):
    """How boxes and scores become detections.

    Args:
        kind: ``dense``: the best of every level, then non-maximum suppression within each class;
            ``set``: one per query; ``per_class``: every proposal has a box for each class, then
            non-maximum suppression within each class.
        selection: thresholds and numbers of ``dense``.
        levels: number of boxes of each level.
        scores: of a ``set``: ``sigmoid`` (pairs of query and class compete) or ``softmax``.
    """

    kind: Kind
    selection: Selection | None
    levels: tuple[int, ...]
    scores: str = "sigmoid"

    def to_json(self) -> dict[str, Any]:
        """Return what ``model.json`` says of it."""
        if self.selection is None:
            return {"kind": self.kind, "scores": self.scores}
        found: dict[str, Any] = {"kind": self.kind, **asdict(self.selection)}
        return found | {"levels": list(self.levels)} if self.levels else found


class BoxOutput(nn.Module):
    """Decoded boxes ``[B, N, 4]`` in pixels of the input and class scores ``[B, N, C]``.

    Of a two-stage detector boxes are ``[1, N, C, 4]``: N proposals, as many as a picture has.

    Args:
        model: a detector.
        size: height and width of the input.

    Raises:
        RecipeError: a detector whose boxes nobody but itself decodes.
    """

    def __init__(self, model: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.kind = kind_of(model)
        # Queries and proposals have no order that two roundings agree on.
        self.is_set = self.kind != "dense"
        # Not a child: the model is exported once.
        self._model = (model,)

    def forward(self, output: Any) -> tuple[Tensor, ...]:
        """Return boxes and scores."""
        if self.kind == "set":
            return self._of_set(output)
        head: Any = self._model[0].head
        if self.kind == "per_class":
            ((proposed, probabilities),) = head.refine(output, torch.tensor([self.size]))
            return proposed[None], probabilities[None]
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


def kind_of(model: nn.Module) -> Kind:
    """Return how a detector's boxes become detections.

    Raises:
        RecipeError: they are decoded by itself alone.
    """
    head = getattr(model, "head", None)
    if hasattr(head, "boxes"):
        return "dense"
    if hasattr(head, "refine"):
        return "per_class"
    if getattr(model, "spec", None) is not None:
        return "set"
    raise RecipeError(f"{type(model).__name__}: export knows the detectors of densekd and of the transformers library.")


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
    kind = kind_of(model)
    if kind == "set":
        return RawMaps(_SET)
    if kind == "per_class":
        raise RecipeError(
            "--output raw: the second stage of this detector reads what the first one found; --output boxes."
        )
    head: Any = model.head
    levels = len(head.anchors.strides)
    return RawMaps([f"{kind}_{k}" for kind in ("cls", "reg") for k in range(levels)])


@torch.no_grad()
def decoding_of(model: nn.Module, image: Tensor) -> Decoding:
    """Return how a detector's boxes become detections.

    Args:
        model: the detector.
        image: one picture, float ``[1, 3, H, W]``, for the numbers of boxes.
    """
    kind = kind_of(model)
    if kind == "set":
        spec: Any = model.spec
        return Decoding(kind, None, (), spec.scores)
    head: Any = model.head
    if kind == "per_class":
        return Decoding(kind, head.selection, ())
    levels = tuple(boxes.shape[1] for boxes in head.boxes(model(image)))
    return Decoding(kind, head.selection, levels)


def decoded(boxes: Tensor, scores: Tensor, decoding: Decoding, size: Tensor) -> Detections:
    """Return the detections of one picture, as the model's own ``detect`` does.

    Args:
        boxes, scores: ``[N, 4]``, or ``[N, C, 4]`` of proposals; ``[N, C]``.
        decoding: of the model.
        size: ``[2]``, height and width without padding.
    """
    if decoding.kind == "dense":
        assert decoding.selection is not None
        levels = []
        counts = list(decoding.levels)
        parts = zip(torch.split(boxes, counts), torch.split(scores, counts), strict=True)
        for box, score in parts:
            best, place, label = top_scores(score, decoding.selection)
            levels.append(Detections(clip(box[place], size), best, label))
        return suppress(concatenate(levels), decoding.selection)
    if decoding.kind == "per_class":
        assert decoding.selection is not None
        place, label = (scores > decoding.selection.score).nonzero(as_tuple=True)
        kept = Detections(clip(boxes, size)[place, label], scores[place, label], label)
        return suppress(kept, decoding.selection)
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
