"""Detectors of the transformers library: DETR and its descendants, which answer with a set."""

import re
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torchvision.ops import box_convert

from densekd.models.blocks import Normalize
from densekd.models.families import Convention
from densekd.models.sources.maps import InputSize, resize_input, to_map
from densekd.models.sources.transformer import Processor, class_names_of, convention_of, entries
from densekd.ops.boxes import Boxes, Detections

# Where pyramids go down and up again, sizes must halve exactly.
_ACCEPTED = InputSize(32)


class Queries(NamedTuple):
    """Raw output of Q queries.

    Args:
        logits: ``[B, Q, C]``, or ``[B, Q, C + 1]`` with "no object" last.
        boxes: ``[B, Q, 4]``: center x, center y, width, height in units of the batch's width and
            height.
        size: (height, width) of the batch.
        called: positional and named arguments of the library's call of its loss.
    """

    logits: Tensor
    boxes: Tensor
    size: tuple[int, int]
    called: tuple[tuple[Any, ...], dict[str, Any]]


class DetectorSpec(NamedTuple):
    """One detector of the library: how its scores, losses and encoder are read.

    Args:
        scores: ``softmax`` over classes and "no object", one class per query; ``sigmoid`` of each
            class alone.
        weights: ``outside``: the library's loss terms are still to be multiplied by its weights;
            ``inside``: they are.
        neck: what its encoder returns: a ``pyramid`` of maps; tokens of the backbone's ``last``
            map; of all ``levels``.
    """

    scores: Literal["softmax", "sigmoid"]
    weights: Literal["outside", "inside"]
    neck: Literal["pyramid", "last", "levels"]


class TransformerDetector(nn.Module):
    """DETR or one of its descendants.

    The images of a batch are padded and the forward is not told how: there is no mask, queries see
    the padding, and :meth:`detect` clips to each image's own size. All of the backbone learns (in
    DETR's family the library freezes the first stages of timm's ResNets, and of its own by mistake
    all) but its batch norms, which the library replaces by fixed factors; RT-DETR and D-FINE keep
    them where the config says ``freeze_backbone_batch_norms: false``.

    Args:
        model: one of the library's detectors.
        processor: see :func:`densekd.models.sources.transformer.convention_of`.
        spec: see :class:`DetectorSpec`.
        notes: what people should hear of its weights.

    Shape:
        float RGB in [0, 1], ``[B, 3, H, W]`` -> :class:`Queries`.
    """

    def __init__(self, model: Any, processor: Processor, spec: DetectorSpec, notes: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.normalize = Normalize(convention_of(processor))
        self.network = model
        self.backbone.requires_grad_(True)
        # Places where taps can read; once a teacher's deepest tap is read, its forward may stop.
        self.maps = nn.Identity()
        self.neck = nn.Identity()
        self.cls = nn.Identity()
        self.reg = nn.Identity()
        self.network.model.backbone.register_forward_hook(self._after_backbone)
        self.network.model.encoder.register_forward_hook(self._after_encoder)
        self._grids: list[tuple[int, int]] = []  # sizes of the maps, for the encoder's hook
        self.processor = dict(processor)
        self.spec = spec
        self.notes = notes
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
        """Short tap names: maps ``features.0..`` and ``neck.0..``, finest first, ``cls`` and ``reg``.

        The last two are the queries': ``cls`` is ``[B, C, Q, 1]``, logits, and ``reg`` is
        ``[B, 4, Q, 1]``, boxes as in :class:`Queries`. Queries have no places, so those of two
        models only correspond where one was made from the other.
        """
        features = len(self.network.model.backbone.intermediate_channel_sizes)
        if self.spec.neck == "pyramid":
            levels = features
        elif self.spec.neck == "last":
            levels = 1
        else:
            levels = self.network.config.num_feature_levels
        names = {f"features.{k}": f"maps[{k}]" for k in range(features)}
        names |= {f"neck.{k}": f"neck[{k}]" for k in range(levels)}
        return names | {"cls": "cls", "reg": "reg"}

    @property
    def packaged(self) -> tuple[str, dict[str, Any]]:
        """Return the name and options that rebuild this model without a file."""
        config = self.network.config
        return f"hf:{config.model_type}", {"config": entries(config), "processor": self.processor}

    def forward(self, images: Tensor) -> Queries:
        """Return the raw output."""
        accepted = resize_input(self.normalize(images), _ACCEPTED)
        # Without labels no loss is called; which ones they are plays no part yet.
        output = self.network(pixel_values=accepted, labels=[])
        # As maps of one column, [B, channels, Q, 1], for the taps.
        self.cls(output.logits.mT.unsqueeze(3))
        self.reg(output.pred_boxes.mT.unsqueeze(3))
        size = (images.shape[2], images.shape[3])
        return Queries(output.logits, output.pred_boxes, size, output.loss_dict)

    def losses(self, output: Queries, target: Boxes) -> dict[str, Tensor]:
        """Return the weighted terms of the library's loss, each summed over the decoder's layers.

        Each process divides by its own number of boxes. RT-DETR and D-FINE are trained without
        their denoising queries, which would need the labels in the forward.

        Args:
            output: of :meth:`forward`.
            target: the boxes of the batch.
        """
        # The library's boxes: center and size in units of the batch's width and height.
        height, width = output.size
        labels = []
        for boxes, classes in zip(target.boxes, target.labels, strict=True):
            unit = boxes.new_tensor([width, height, width, height])
            centered = box_convert(boxes, "xyxy", "cxcywh") / unit
            labels.append({"class_labels": classes, "boxes": centered})
        # The call that was postponed, now with labels, and in full precision.
        positional, named = output.called
        arguments = [_in_float32(value) for value in positional]
        options = {name: _in_float32(value) for name, value in named.items()}
        # The second argument is the labels.
        arguments[1] = labels
        with torch.autocast(output.logits.device.type, enabled=False):
            _, parts, _ = self.criterion(*arguments, **options)
        summed: dict[str, Tensor] = {}
        for name, value in parts.items():
            # "loss_ce", "loss_ce_0", "loss_vfl_aux_1"; what is only logged has another beginning.
            if found := re.match("loss_([a-z]+)", name):
                term = found[1]
                summed[term] = summed.get(term, 0) + self._weight(term) * value
        return summed

    def detect(self, output: Queries, sizes: Tensor) -> list[Detections]:
        """Return one detection per query, less those without area inside the image.

        A set needs no suppression of overlaps. Where scores are sigmoids, the best pairs of query
        and class are taken, so that a query may be found under several classes.

        Args:
            output: of :meth:`forward`.
            sizes: int64 ``[B, 2]``: height and width of each image without padding; boxes are
                clipped to it.
        """
        scores, labels, query = self._best(output.logits.float())
        # Corners in pixels of the batch, then clipped to the image.
        boxes = box_convert(output.boxes.float(), "cxcywh", "xyxy")
        boxes = boxes.gather(1, query[..., None].expand(-1, -1, 4))
        height, width = output.size
        boxes = boxes * boxes.new_tensor([width, height, width, height])
        limits = sizes.to(boxes).flip(1).repeat(1, 2)
        boxes = boxes.clamp(min=0).minimum(limits[:, None])
        inside = (boxes[..., 2:] > boxes[..., :2]).all(2)
        found = []
        for box, score, label, kept in zip(boxes, scores, labels, inside, strict=True):
            found.append(Detections(box[kept], score[kept], label[kept]))
        return found

    def _best(self, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return scores, labels and queries ``[B, Q]``, best score first."""
        if self.spec.scores == "softmax":
            scores, labels = logits.softmax(2)[..., :-1].max(2)
            scores, query = scores.sort(dim=1, descending=True, stable=True)
            return scores, labels.gather(1, query), query
        queries, classes = logits.shape[1:]
        scores, pair = logits.sigmoid().flatten(1).topk(queries, 1)
        return scores, pair % classes, pair // classes

    def _after_backbone(self, module: nn.Module, inputs: Any, output: list[tuple[Tensor, Tensor]]) -> None:
        """Forward hook: hand the backbone's maps to the taps, and note their sizes."""
        maps = [features for features, mask in output]
        self._grids = [(x.shape[2], x.shape[3]) for x in maps]
        self.maps(maps)

    def _after_encoder(self, module: nn.Module, inputs: Any, output: Any) -> None:
        """Forward hook: hand the encoder's output to the taps, as maps."""
        states = output.last_hidden_state
        if self.spec.neck == "pyramid":
            self.neck(list(states))
            return
        grids = self._grids[-1:]
        if self.spec.neck == "levels":
            # Further levels come from the last one by strided convolutions.
            grids = list(self._grids)
            while len(grids) < self.network.config.num_feature_levels:
                height, width = grids[-1]
                grids.append((-(-height // 2), -(-width // 2)))
        # The tokens of all levels follow each other.
        levels = states.split([height * width for height, width in grids], 1)
        self.neck([to_map(level, grid) for level, grid in zip(levels, grids, strict=True)])

    def _weight(self, term: str) -> float:
        """Return the factor of a loss term that the library leaves to its caller."""
        if self.spec.weights == "inside" or term == "ce":
            return 1
        weight: float = getattr(self.network.config, f"{term}_loss_coefficient")
        return weight


def _postponed(*positional: Any, **named: Any) -> tuple[None, Any, None]:
    """Take the place of the library's loss; return its arguments instead of the loss terms."""
    return None, (positional, named), None


def _in_float32(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) else value


# By the library's model type.
DETECTORS: dict[str, DetectorSpec] = {
    "conditional_detr": DetectorSpec(scores="sigmoid", weights="outside", neck="last"),
    "d_fine": DetectorSpec(scores="sigmoid", weights="inside", neck="pyramid"),
    "deformable_detr": DetectorSpec(scores="sigmoid", weights="outside", neck="levels"),
    "detr": DetectorSpec(scores="softmax", weights="outside", neck="last"),
    "rt_detr": DetectorSpec(scores="sigmoid", weights="inside", neck="pyramid"),
    "rt_detr_v2": DetectorSpec(scores="sigmoid", weights="inside", neck="pyramid"),
}
