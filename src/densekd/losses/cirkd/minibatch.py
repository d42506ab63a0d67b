"""Cross-image relational distillation within a mini-batch (CIRKD; Yang et al., CVPR 2022, arXiv
2204.06986)."""

from torch import Tensor, nn

from densekd.kernels.similarity_kl import similarity_kl
from densekd.losses.cirkd.image_groups import image_groups
from densekd.losses.inputs import average_windows, require_one_map
from densekd.ops.precision import to_float32
from densekd.ops.ranges import Positive, PositiveInt
from densekd.ops.unit import unit


class CIRKDMiniBatch(nn.Module):
    """Cross-image relations in a batch: similarities of each pixel to all pixels of all images.

    ``1 / (B^2 HW) * sum_{i,j,p} KL(softmax_q(t_ip . t_jq / T) || softmax_q(s_ip . s_jq / T))`` over
    all ordered pairs of images (i, j), i = j among them; features have unit length, there is no
    T^2. Maps of at least 256x256 are first averaged over 4x4 windows, as released. A process
    compares its own images; with ``images_per_group`` the loss is the mean over consecutive groups.

    Tap: ``pre_logits``. Weight: the authors ship 1 with T = 0.1. Cost: five matrix products of
    (B H W)^2 C, of whose results one block exists at a time.

    Args:
        temperature: T > 0.
        images_per_group: images that are compared with each other; None: all of a process. The
            authors' processes have 2 (CIRKD) or 1 (CIRKDv2).

    Shape:
        student ``[B, C, H, W]``, teacher ``[B, C', H, W]``, any range; target: ignored. Returns a
        scalar >= 0.

    Raises:
        ValueError: batches or sizes that differ.
    """

    def __init__(self, temperature: Positive = 0.1, images_per_group: PositiveInt | None = None) -> None:
        super().__init__()
        self.temperature = temperature
        self.images_per_group = images_per_group

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        require_one_map(student, teacher)
        s = _pixels(to_float32(student))
        t = _pixels(to_float32(teacher.detach()))
        B, P, _ = s.shape
        value = s.new_zeros(())
        for group in image_groups(B, self.images_per_group):
            G = group.stop - group.start
            # The mean over pixels and over pairs of images, each of which is a bank for every
            # other; a group counts by its images.
            mean = s.new_full((G, P), 1 / (B * G * P))
            # One tensor in both roles: the kernel adds up what both make of its gradient.
            rows_s, rows_t = s[group], t[group]
            value = value + similarity_kl((rows_s, rows_s), (rows_t, rows_t), mean, self.temperature)
        return value


def _pixels(x: Tensor) -> Tensor:
    """Return unit vectors ``[B, P, C]``, in the memory layout of ``x``."""
    # Large maps are pooled, as released: the similarities grow with the fourth power of the side.
    if min(x.shape[2:]) >= 256:
        x = average_windows(x, 4)
    return unit(x.flatten(2).mT, 2)
