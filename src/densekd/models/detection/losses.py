"""GFL's losses that torchvision does not have: quality focal loss and distribution focal loss."""

import torch.nn.functional as F
from torch import Tensor


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
