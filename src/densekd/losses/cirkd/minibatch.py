"""Cross-image relational distillation within a mini-batch (CIRKD; Yang et al., CVPR 2022, arXiv
2204.06986)."""

from torch import Tensor, nn

from densekd.kernels.similarity_kl import similarity_kl
from densekd.losses.inputs import average_windows, require_one_map
from densekd.ops.precision import to_float32
from densekd.ops.ranges import Positive
from densekd.ops.unit import unit


class CIRKDMiniBatch(nn.Module):
    """Cross-image relations in a batch: similarities of each pixel to all pixels of all images.

    ``1 / (B^2 HW) * sum_{i,j,p} KL(softmax_q(t_ip . t_jq / T) || softmax_q(s_ip . s_jq / T))`` over
    all ordered pairs of images (i, j), i = j among them; features have unit length, there is no
    T^2. Maps of at least 256x256 are first averaged over 4x4 windows, as released. A process
    compares its own images.

    Tap: ``pre_logits``. Weight: the authors ship 1 with T = 0.1. Cost: five matrix products of
    (B H W)^2 C, of whose results one block exists at a time.

    Args:
        temperature: T > 0.

    Shape:
        student ``[B, C, H, W]``, teacher ``[B, C', H, W]``, any range; target: ignored. Returns a
        scalar >= 0.

    Raises:
        ValueError: batches or sizes that differ.
    """

    def __init__(self, temperature: Positive = 0.1) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        require_one_map(student, teacher)
        s = _pixels(to_float32(student))
        t = _pixels(to_float32(teacher.detach()))
        B, P, _ = s.shape
        # The mean over pixels and over pairs of images; every image is a bank for every other.
        mean = s.new_full((B, P), 1 / (B * B * P))
        return similarity_kl((s, s), (t, t), mean, self.temperature)


def _pixels(x: Tensor) -> Tensor:
    """Return unit vectors ``[B, P, C]``, in the memory layout of ``x``."""
    # Large maps are pooled, as released: the similarities grow with the fourth power of the side.
    if min(x.shape[2:]) >= 256:
        x = average_windows(x, 4)
    return unit(x.flatten(2).mT, 2)
