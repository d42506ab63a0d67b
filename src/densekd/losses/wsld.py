"""WSLD: soft labels weighted by bias and variance (Zhou et al., ICLR 2021, arXiv 2102.00650)."""

from torch import Tensor, nn

from densekd.kernels.softmax_kl import soft_cross_entropy
from densekd.losses.inputs import labels_at, require_labels
from densekd.ops.precision import to_float32
from densekd.ops.ranges import Positive
from densekd.ops.shapes import require_one_shape


class WSLD(nn.Module):
    """Weighted soft labels: cross-entropy with the teacher, weighted by the student's own error.

    ``T^2 / P * sum w * CE(softmax_C(teacher / T), softmax_C(student / T))`` with
    ``w = 1 - exp(-ce_s / (ce_t + 1e-7))``, ce_s and ce_t the cross-entropies of student and teacher
    against the label at T = 1, without gradient; P positions whose label, taken by nearest
    neighbour, is not void.

    Tap: ``logits``. Weight: 2.5 with T = 2, as MMRazor ships it for classification. Cost: four
    softmax maps.

    Args:
        ignore_index: label of void pixels, left out of sum and mean; supplied by the build.
        temperature: T > 0.

    Shape:
        student, teacher: logits ``[B, C, H, W]``; target: labels ``[B, H', W']`` (int64). Returns a
        scalar >= 0, which is not zero for equal tensors (a cross-entropy); 0 when every position is
        void.

    Raises:
        ValueError: no labels, or shapes that differ.
    """

    def __init__(self, ignore_index: int, temperature: Positive = 2.0) -> None:
        super().__init__()
        self.ignore_index = ignore_index
        self.temperature = temperature

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        require_one_shape(student, teacher)
        B, _, H, W = student.shape
        labels = labels_at(require_labels(target, B), (H, W))
        kept = labels != self.ignore_index
        s = to_float32(student)
        t = to_float32(teacher)
        soft = soft_cross_entropy(s, t, 1, self.temperature)
        # The weight: near 0 where the student is right, near 1 where it is much worse than the
        # teacher. It gets no gradient; void positions get some class and are taken out below.
        label = labels.where(kept, 0)[:, None]
        hard_student = _cross_entropy(s.detach(), label)
        hard_teacher = _cross_entropy(t.detach(), label)
        weight = 1 - (-hard_student / (hard_teacher + 1e-7)).exp()
        positions = kept.sum().clamp(min=1)
        return (weight * soft).where(kept, 0).sum() / positions * self.temperature**2


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy ``[B, H, W]`` against labels ``[B, 1, H, W]``."""
    return (logits.logsumexp(1) - logits.gather(1, labels)[:, 0]).clamp(min=0)
