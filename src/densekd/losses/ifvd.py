"""IFVD: intra-class feature variation distillation (Wang et al., ECCV 2020, section 3.2; not on
arXiv)."""

from typing import Literal

from torch import Tensor, nn

from densekd.kernels.center_distance import center_distance
from densekd.losses.inputs import labels_at, require_labels, require_one_map
from densekd.ops.precision import to_float32

Mean = Literal["all", "labelled"]


class IFVD(nn.Module):
    """Intra-class feature variation: similarity of every position to the center of its class.

    ``1 / (B H W) * sum_p (cos(f_p, c_p)(student) - cos(f_p, c_p)(teacher))^2``; ``c_p`` is the mean of
    ``f`` over the positions of the same image that have the label of p. Labels are brought to the
    maps' size by nearest neighbour; void positions add nothing.

    Tap: ``pre_logits``, without adapter; SegDistill ``logits`` with ``resize_to: student``, beside a
    term ``pixel`` of weight 1. Weight: CIRKD and HWD ship 20, SegDistill 10. Cost: seven products of
    features and K classes; maps of K.

    Args:
        num_classes: of the labels; supplied by the build.
        ignore_index: label of void pixels; supplied by the build. Labels outside
            ``0 .. num_classes - 1`` are void too.
        mean: the divisor: ``all`` positions (the authors) or the ``labelled`` ones.

    Shape:
        student ``[B, C_s, H, W]``, teacher ``[B, C_t, H, W]``, any range; target: labels
        ``[B, H', W']`` (int64). Returns a scalar >= 0; 0 when everything is void.

    Raises:
        ValueError: maps of different sizes, or no labels.
    """

    def __init__(self, num_classes: int, ignore_index: int, mean: Mean = "all") -> None:
        super().__init__()
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.mean = mean

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        require_one_map(student, teacher)
        labels = labels_at(require_labels(target, len(student)), student.shape[-2:]).flatten(1)
        # Void: the label itself, and labels that are no class.
        known = (labels >= 0) & (labels < self.num_classes)
        labelled = (labels != self.ignore_index) & known
        s = to_float32(student).flatten(2)
        t = to_float32(teacher).flatten(2)
        # The kernel leaves out positions of label -1.
        distance = center_distance(s, t, labels.where(labelled, -1), self.num_classes)
        if self.mean == "all":
            return distance / labels.numel()
        return distance / labelled.sum().clamp(min=1)
