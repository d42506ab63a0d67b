"""Pair-wise distillation: structured knowledge in similarities (Liu et al., CVPR 2019, arXiv
1903.04197, eq. 2)."""

import torch.nn.functional as F
from torch import Tensor, nn

from densekd.kernels.gram_distance import gram_distance
from densekd.losses.inputs import require_one_map
from densekd.ops.precision import to_float32
from densekd.ops.ranges import PositiveInt
from densekd.ops.unit import unit


class Pairwise(nn.Module):
    """Pair-wise similarity distillation: cosine similarities of any two places of an image.

    ``1 / (B M^2) * sum_{b,i,j} (a_ij(student) - a_ij(teacher))^2`` with ``a_ij = f_i . f_j / (|f_i|
    |f_j|)`` over the M places that are left when every window of ``granularity x granularity``
    positions is pooled by its maximum.

    Tap: ``pre_logits``, without adapter. Weight: CIRKD and HWD ship 10. Cost: products C_s x C_s,
    C_s x C_t, C_t x C_t, or M x M where M is not above C_s + C_t; never more memory than the inputs.

    Args:
        granularity: side of the windows (the paper's beta is its square), >= 1; those at the border
            may be partial. CIRKD and HWD ship 2. The paper's own code pools to 2 x 2 places.

    Shape:
        student ``[B, C_s, H, W]``, teacher ``[B, C_t, H, W]``, any range; target: ignored. Returns a
        scalar >= 0, up to rounding of about 1e-8.
    """

    def __init__(self, granularity: PositiveInt = 2) -> None:
        super().__init__()
        self.granularity = granularity

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32.

        Raises:
            ValueError: maps of different sizes.
        """
        require_one_map(student, teacher)
        s = self._places(student)
        t = self._places(teacher)
        # eq. 2: the matrices of all similarities are Gram matrices of unit vectors.
        return gram_distance(s, t).mean() / s.shape[2] ** 2

    def _places(self, x: Tensor) -> Tensor:
        """Return unit vectors ``[B, C, M]``."""
        x = to_float32(x)
        # Pooling windows of one would copy the map and write down where everything came from.
        if self.granularity > 1:
            x = F.max_pool2d(x, self.granularity, ceil_mode=True)
        return unit(x.flatten(2), 1)
