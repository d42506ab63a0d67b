"""FBKD: attention and non-local distillation (Zhang and Ma, ICLR 2021, openreview uKhGRvM8QNH; no arXiv number)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from densekd.kernels.distance import euclidean_distance
from densekd.losses.inputs import require_channels, to_float32
from densekd.losses.non_local import NonLocal
from densekd.ops.precision import call_in_precision as call


class View(NamedTuple):
    """What is compared of one network."""

    attention: Tensor
    channels: Tensor
    positions: Tensor
    relation: Tensor
    feature: Tensor


class FBKD(nn.Module):
    """Match a feature where both networks look, its means over channels and positions, and its non-local relations.

    ``w1 |sqrt(M) (F_T - a(F_S))| + w2 |mean_HW F_T - l(mean_HW F_S)| + w3 |mean_C F_T - c(mean_C F_S)|
    + w4 |N(F_T) - r(N(F_S))|``, Euclidean norms over the whole batch. M: the average of both networks'
    ``H W softmax_HW(mean_C |F| / 0.5)``, without gradient; N: a non-local block for each network; a, r: 1x1
    convolutions, c: a 3x3 convolution, l: a linear map. All of them learn.

    Tap: each level of a feature pyramid, ``neck.{0,1,2,3}``, one term per level. Weight: 1 and those within; the
    authors ship reduction 4, 4, 2, 2 and stride 8, 4, 2, 2 over the levels. Cost: eight 1x1 convolutions.

    Args:
        student_channels, teacher_channels: of the taps; supplied by the build.
        reduction: the non-local blocks work in C / reduction channels.
        stride: max-pooling of what the non-local blocks look at; 1 for none.
        weights: w1 to w4.

    Shape:
        student, teacher: ``[B, C, H, W]``, any range; target: ignored. Returns a scalar >= 0, not 0 for equal tensors.

    Raises:
        ValueError: a reduction or stride below 1, weights that are not four, or tensors it was not built for.
    """

    def __init__(
        self,
        student_channels: int,
        teacher_channels: int,
        reduction: int = 2,
        stride: int = 2,
        weights: Sequence[float] = (7e-5, 4e-3, 4e-3, 7e-5),
    ) -> None:
        super().__init__()
        if min(reduction, stride) < 1 or len(weights) != 4:
            raise ValueError(f"reduction and stride must be >= 1, weights four; got {reduction}, {stride}, {weights}")
        self.weights = tuple(weights)
        self.channels = nn.Linear(student_channels, teacher_channels)
        self.positions = nn.Conv2d(1, 1, 3, padding=1)
        self.feature, self.relation = (nn.Conv2d(student_channels, teacher_channels, 1) for _ in range(2))
        self.student_non_local = NonLocal(student_channels, reduction, stride)
        self.teacher_non_local = NonLocal(teacher_channels, reduction, stride)

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        require_channels(student, teacher, (self.feature.in_channels, self.feature.out_channels))
        s, t = to_float32(student), to_float32(teacher)
        channels, positions = call(self.channels, s.mean((2, 3))), call(self.positions, s.mean(1, keepdim=True))
        relation = call(self.relation, call(self.student_non_local, s))
        student_features = View(_attention(s), channels, positions, relation, call(self.feature, s))
        teacher_features = View(
            _attention(t), t.mean((2, 3)), t.mean(1, keepdim=True), call(self.teacher_non_local, t), t
        )
        return distance(student_features, teacher_features, self.weights)


def distance(student: View, teacher: View, weights: Sequence[float]) -> Tensor:
    """Return the four norms of the differences, weighted and added; the attention gets no gradient."""
    mask = ((student.attention + teacher.attention) / 2).detach().sqrt()
    masked = euclidean_distance(student.feature * mask, teacher.feature * mask)
    norms = [masked, *(torch.linalg.vector_norm(t - s) for s, t in zip(student[1:4], teacher[1:4], strict=True))]
    return torch.stack([weight * norm for weight, norm in zip(weights, norms, strict=True)]).sum()


@torch.no_grad()
def _attention(x: Tensor) -> Tensor:
    energy = x.abs().mean(1, keepdim=True)
    return (energy.flatten(1) / 0.5).softmax(1).view_as(energy) * energy[0].numel()
