"""GFL's losses: quality focal loss, distribution focal loss, and the GIoU loss without boolean indexing."""

import torch
import torch.nn.functional as F
from torch import Tensor

# Torchvision's.
_EPSILON = 1e-7


def quality_focal(logits: Tensor, quality: Tensor) -> Tensor:
    """Quality focal loss (QFL), summed: ``|quality - p| ** 2 * bce(p, quality)``.

    arXiv 2006.04388, eq. 4, beta 2.

    Args:
        logits: of ``p``, any shape.
        quality: the same shape, in [0, 1]: the IoU of a positive's box at its class, else 0.
    """
    distance = (quality - logits.sigmoid()).square()
    entropy = F.binary_cross_entropy_with_logits(logits, quality, reduction="none")
    return (distance * entropy).sum()


def distribution_focal(logits: Tensor, distances: Tensor) -> Tensor:
    """Distribution focal loss (DFL): cross-entropy of the two bins around each distance.

    arXiv 2006.04388, eq. 6.

    Args:
        logits: ``[..., n + 1]`` over the distances 0..n.
        distances: ``[...]`` in [0, n).

    Returns:
        ``[...]``
    """
    below = distances.floor()
    log = logits.log_softmax(-1)
    first = log.gather(-1, below.long()[..., None])[..., 0]
    second = log.gather(-1, below.long()[..., None] + 1)[..., 0]
    # Each bin weighs by how near the distance is to it; both summands are negated log-likelihoods.
    return (distances - below - 1) * first - (distances - below) * second


def giou_loss(boxes: Tensor, wanted: Tensor) -> Tensor:
    """Generalized IoU loss (arXiv 1902.09630): torchvision's numbers, without its boolean indices.

    Each of those makes the host wait for the device, in the backward pass as well.

    Args:
        boxes: ``[P, 4]``, left, top, right, bottom.
        wanted: ``[P, 4]``.

    Returns:
        ``[P]``, in [0, 2].
    """
    left, top, right, bottom = boxes.unbind(-1)
    left_w, top_w, right_w, bottom_w = wanted.unbind(-1)
    # What both cover; boxes that do not meet have nothing in common.
    inner_left, inner_top = torch.max(left, left_w), torch.max(top, top_w)
    inner_right, inner_bottom = torch.min(right, right_w), torch.min(bottom, bottom_w)
    meet = (inner_bottom > inner_top) & (inner_right > inner_left)
    common = ((inner_right - inner_left) * (inner_bottom - inner_top)).where(meet, 0)
    union = (right - left) * (bottom - top) + (right_w - left_w) * (bottom_w - top_w) - common
    iou = common / (union + _EPSILON)
    # The smallest box around both, and how much of it neither covers.
    outer_left, outer_top = torch.min(left, left_w), torch.min(top, top_w)
    outer_right, outer_bottom = torch.max(right, right_w), torch.max(bottom, bottom_w)
    around = (outer_right - outer_left) * (outer_bottom - outer_top)
    return 1 - (iou - (around - union) / (around + _EPSILON))
