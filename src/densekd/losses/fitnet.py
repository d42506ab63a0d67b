"""FitNet: hints, the teacher's features as regression targets (Romero et al., ICLR 2015, arXiv
1412.6550, eq. 3)."""

import torch.nn.functional as F
from torch import Tensor, nn

from densekd.ops.precision import to_float32
from densekd.ops.shapes import require_one_shape


class FitNet(nn.Module):
    """Hint learning: mean squared error between features.

    ``1 / (B C H W) * sum (student - teacher)^2``. The paper's regressor is the term's adapter:
    ``adapter: conv``, a 1x1 convolution without bias, is CIRKD's, which has it also where the
    channels agree; CIRKDv2's comes after the context block: ``adapter: graph-context-conv``.

    Tap: ``pre_logits``. Weight: CIRKD ships 10, CIRKDv2 1 or 10. Cost: the adapter and one
    difference.

    Shape:
        student, teacher: ``[B, C, H, W]``, any range; target: ignored. Returns a scalar >= 0.
    """

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32.

        Raises:
            ValueError: shapes that differ.
        """
        require_one_shape(student, teacher)
        return F.mse_loss(to_float32(student), to_float32(teacher))
