"""A detector of the transformers library under our contract: a set of queries, each with its classes and one box."""

import re
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torchvision.ops import box_convert

from densekd.models.blocks import Normalize
from densekd.models.families import Convention
from densekd.models.sources.maps import InputSize, fitted, to_map
from densekd.models.sources.transformer import Processor, class_names_of, convention_of, entries
from densekd.ops.boxes import Boxes, Detections

# Where pyramids go down and up again, sizes must halve exactly.
_FIT = InputSize(32)


class Queries(NamedTuple):
    """The raw output of Q queries.

    Args:
        logits: ``[B, Q, C]``, or ``[B, Q, C + 1]`` with "no object" last.
        boxes: ``[B, Q, 4]``: center x, center y, width, height in units of the batch's width and height.
        size: (height, width) of the batch.
        called: positional and named arguments of the library's call of its loss.
    """

    logits: Tensor
    boxes: Tensor
    size: tuple[int, int]
    called: tuple[tuple[Any, ...], dict[str, Any]]


class DetectorKind(NamedTuple):
    """What distinguishes the detectors of the library.

    Args:
        scores: ``softmax`` over classes and "no object", one class per query; ``sigmoid`` of each class alone.
        weights: ``outside``: the library's summands are still to be multiplied by its weights; ``inside``: they are.
        neck: what its encoder returns: a ``pyramid`` of maps; tokens of the backbone's ``last`` map; of all ``levels``.
    """

    scores: Literal["softmax", "sigmoid"]
    weights: Literal["outside", "inside"]
    neck: Literal["pyramid", "last", "levels"]


class TransformerDetector(nn.Module):
    """DETR or one of its descendants.

    The images of a batch are padded and the forward is not told how: there is no mask, queries see the padding, and
    :meth:`detect` clips to each image's own size. All of the backbone learns (in DETR's family the library freezes the
    first stages of timm's ResNets, and of its own by mistake all) but its batch norms, which the library replaces by
    fixed factors; RT-DETR and D-FINE keep them where the config says ``freeze_backbone_batch_norms: false``.

    Args:
        model: one of the library's detectors.
        processor: see :func:`densekd.models.sources.transformer.convention_of`.
        kind: see :class:`DetectorKind`.

    Shape:
        float RGB in [0, 1], ``[B, 3, H, W]`` -> :class:`Queries`.
    """

    def __init__(self, model: Any, processor: Processor, kind: DetectorKind) -> None:
        super().__init__()
        self.normalize = Normalize(convention_of(processor))
        self.network = model
        self.backbone.requires_grad_(True)
        # Places where taps can read; what has been read needs nothing behind it to run.
        self.maps, self.neck, self.cls, self.reg = (nn.Identity() for _ in range(4))
        self.network.model.backbone.register_forward_hook(self._after_backbone)
        self.network.model.encoder.register_forward_hook(self._after_encoder)
        self._grids: list[tuple[int, int]] = []  # sizes of the maps, for the encoder that follows them
        self.processor = dict(processor)
        self.kind = kind
        self.notes: tuple[str, ...] = ()  # what people should hear of its weights
        # The library computes its loss inside the forward; ours is asked for it later.
        self.criterion = self.network.loss_function
        self.network.loss_function = _postponed

    @property
    def convention(self) -> Convention:
        """Channel order, mean and standard deviation of the network's own input."""
        return self.normalize.convention

    @property
    def class_names(self) -> tuple[str, ...]:
        """C names, as the library's config has them; empty where it only numbers its classes."""
        return class_names_of(self.network.config)

    @property
    def num_classes(self) -> int:
        """C, the number of classes, without "no object"."""
        return int(self.network.config.num_labels)

    @property
    def backbone(self) -> nn.Module:
        """Return what ``head_lr`` leaves alone."""
        backbone: nn.Module = self.network.model.backbone.model
        return backbone

    @property
    def taps(self) -> dict[str, str]:
        """Short tap names: maps ``features.0..`` and ``neck.0..``, finest first; ``cls`` and ``reg`` of the queries.

        ``cls`` is ``[B, C, Q, 1]``, logits, and ``reg`` is ``[B, 4, Q, 1]``, boxes as in :class:`Queries`. Queries have
        no places, so those of two models only correspond where one was made from the other.
        """
        features = len(self.network.model.backbone.intermediate_channel_sizes)
        neck = {"pyramid": features, "last": 1}.get(self.kind.neck) or self.network.config.num_feature_levels
        names = {f"features.{k}": f"maps[{k}]" for k in range(features)}
        return names | {f"neck.{k}": f"neck[{k}]" for k in range(neck)} | {"cls": "cls", "reg": "reg"}

    @property
    def packaged(self) -> tuple[str, dict[str, Any]]:
        """Return the name and options that rebuild this model without a file."""
        config = self.network.config
        return f"hf:{config.model_type}", {"config": entries(config), "processor": self.processor}

    def forward(self, images: Tensor) -> Queries:
        """Return the raw output."""
        # Without labels no loss is called; which ones they are plays no part yet.
        output = self.network(pixel_values=fitted(self.normalize(images), _FIT), labels=[])
        self.cls(output.logits.mT.unsqueeze(3))
        self.reg(output.pred_boxes.mT.unsqueeze(3))
        return Queries(output.logits, output.pred_boxes, (images.shape[2], images.shape[3]), output.loss_dict)

    def losses(self, output: Queries, target: Boxes) -> dict[str, Tensor]:
        """Return the weighted summands of the library's loss, each summed over the layers that have a loss.

        Each process divides by its own number of boxes. RT-DETR and D-FINE are trained without their denoising
        queries, which would need the labels in the forward.
        """
        height, width = output.size
        labels = []
        for boxes, classes in zip(target.boxes, target.labels, strict=True):
            unit = boxes.new_tensor([width, height, width, height])
            labels.append({"class_labels": classes, "boxes": box_convert(boxes, "xyxy", "cxcywh") / unit})
        positional, named = output.called
        logits, _, device, predicted, config, *others = map(_full, positional)
        options = {name: _full(value) for name, value in named.items()}
        with torch.autocast(logits.device.type, enabled=False):
            _, parts, _ = self.criterion(logits, labels, device, predicted, config, *others, **options)
        summed: dict[str, Tensor] = {}
        for name, value in parts.items():
            # "loss_ce", "loss_ce_0", "loss_vfl_aux_1"; what is only logged has another beginning.
            if found := re.match("loss_([a-z]+)", name):
                summed[found[1]] = summed.get(found[1], 0) + self._weight(found[1]) * value
        return summed

    def detect(self, output: Queries, sizes: Tensor) -> list[Detections]:
        """Return as many detections per image as there are queries, less those without area inside the image.

        A set needs no suppression of overlaps. Where scores are sigmoids, the best pairs of query and class are taken,
        so that a query may be found under several classes.

        Args:
            output: of :meth:`forward`.
            sizes: int64 ``[B, 2]``: height and width of each image without padding; boxes are clipped to it.
        """
        logits = output.logits.float()
        if self.kind.scores == "softmax":
            scores, labels = logits.softmax(2)[..., :-1].max(2)
            scores, query = scores.sort(dim=1, descending=True, stable=True)
            labels = labels.gather(1, query)
        else:
            scores, pair = logits.sigmoid().flatten(1).topk(logits.shape[1], 1)
            query, labels = pair // logits.shape[2], pair % logits.shape[2]
        boxes = box_convert(output.boxes.float(), "cxcywh", "xyxy").gather(1, query[..., None].expand(-1, -1, 4))
        boxes = boxes * boxes.new_tensor([output.size[1], output.size[0]] * 2)
        limits = sizes.to(boxes).flip(1).repeat(1, 2)
        boxes = boxes.clamp(min=0).minimum(limits[:, None])
        inside = (boxes[..., 2:] > boxes[..., :2]).all(2)
        return [Detections(b[i], s[i], c[i]) for b, s, c, i in zip(boxes, scores, labels, inside, strict=True)]

    def _after_backbone(self, module: nn.Module, inputs: Any, output: list[tuple[Tensor, Tensor]]) -> None:
        maps = [features for features, mask in output]
        self._grids = [(x.shape[2], x.shape[3]) for x in maps]
        self.maps(maps)

    def _after_encoder(self, module: nn.Module, inputs: Any, output: Any) -> None:
        states = output.last_hidden_state
        if self.kind.neck == "pyramid":
            self.neck(list(states))
            return
        grids = self._grids[-1:]
        if self.kind.neck == "levels":
            # Further levels come from the last one by strided convolutions.
            grids = list(self._grids)
            while len(grids) < self.network.config.num_feature_levels:
                grids.append((-(-grids[-1][0] // 2), -(-grids[-1][1] // 2)))
        levels = states.split([h * w for h, w in grids], 1)
        self.neck([to_map(level, grid) for level, grid in zip(levels, grids, strict=True)])

    def _weight(self, name: str) -> float:
        if self.kind.weights == "inside" or name == "ce":
            return 1
        weight: float = getattr(self.network.config, f"{name}_loss_coefficient")
        return weight


def _postponed(*positional: Any, **named: Any) -> tuple[None, Any, None]:
    """Stand where the library calls its loss, and hand out, in place of the summands, what it was called with."""
    return None, (positional, named), None


def _full(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) else value


DETECTORS: dict[str, DetectorKind] = {
    "conditional_detr": DetectorKind("sigmoid", "outside", "last"),
    "d_fine": DetectorKind("sigmoid", "inside", "pyramid"),
    "deformable_detr": DetectorKind("sigmoid", "outside", "levels"),
    "detr": DetectorKind("softmax", "outside", "last"),
    "rt_detr": DetectorKind("sigmoid", "inside", "pyramid"),
    "rt_detr_v2": DetectorKind("sigmoid", "inside", "pyramid"),
}
