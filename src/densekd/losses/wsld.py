"""WSLD: soft labels weighted by bias and variance (Zhou et al., ICLR 2021, arXiv 2102.00650)."""

from torch import Tensor, nn

from densekd.kernels.softmax_kl import soft_cross_entropy
from densekd.losses.inputs import labels_at, require_one_shape, to_float32


class WSLD(nn.Module):
    """Soft-label cross-entropy at each position, weighted by how much worse than the teacher the student is there.

    ``T^2 / P * sum w * CE(softmax_C(teacher / T), softmax_C(student / T))`` with
    ``w = 1 - exp(-ce_s / (ce_t + 1e-7))``, ce_s and ce_t the cross-entropies of student and teacher against the label
    at T = 1, without gradient; P positions whose label, taken by nearest neighbour, is not void.

    Tap: ``logits``. Weight: 2.5 with T = 2, as MMRazor ships it for classification. Cost: four softmax maps.

    Args:
        ignore_index: label of void pixels, which are left out of sum and mean; supplied by the build.
        temperature: T > 0.

    Shape:
        student, teacher: logits ``[B, C, H, W]``; target: labels ``[B, H', W']`` (int64). Returns a scalar >= 0,
        which is not zero for equal tensors (a cross-entropy); 0 when every position is void.

    Raises:
        ValueError: a temperature that is not positive, no labels, or shapes that differ.
    """

    def __init__(self, ignore_index: int, temperature: float = 2.0) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        self.ignore_index = ignore_index
        self.temperature = temperature

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        require_one_shape(student, teacher)
        if target is None:
            raise ValueError("wsld needs labels")
        labels = labels_at(target, student.shape[2:])
        kept = labels != self.ignore_index
        student, teacher = to_float32(student), to_float32(teacher)
        entropy = soft_cross_entropy(student, teacher, 1, self.temperature)
        labels = labels.where(kept, 0)[:, None]
        hard_student, hard_teacher = (_cross_entropy(x.detach(), labels) for x in (student, teacher))
        weight = 1 - (-hard_student / (hard_teacher + 1e-7)).exp()
        positions = kept.sum().clamp(min=1)
        return (weight * entropy).where(kept, 0).sum() / positions * self.temperature**2


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return (logits.logsumexp(1) - logits.gather(1, labels)[:, 0]).clamp(min=0)
