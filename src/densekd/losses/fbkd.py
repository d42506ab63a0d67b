"""FBKD: attention and non-local distillation (Zhang and Ma, ICLR 2021, openreview uKhGRvM8QNH; no
arXiv number)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from densekd.kernels.distance import euclidean_distance
from densekd.losses.inputs import require_channels
from densekd.losses.non_local import NonLocal
from densekd.ops.precision import call_in_precision, to_float32
from densekd.ops.ranges import NonNegative, PositiveInt


class ComparedFeatures(NamedTuple):
    """What is compared of one network, the student's after its adapters.

    Shape:
        attention ``[B, 1, H, W]``; channels ``[B, C]``; positions ``[B, 1, H, W]``; relation and
        feature ``[B, C, H, W]``.
    """

    attention: Tensor
    channels: Tensor
    positions: Tensor
    relation: Tensor
    feature: Tensor


class FBKD(nn.Module):
    """Attention-guided and non-local feature distillation of detectors.

    ``w1 |sqrt(M) (F_T - a(F_S))| + w2 |mean_HW F_T - l(mean_HW F_S)| + w3 |mean_C F_T - c(mean_C F_S)|
    + w4 |N(F_T) - r(N(F_S))|``, Euclidean norms over the whole batch. M: the average of both
    networks' ``H W softmax_HW(mean_C |F| / 0.5)``, without gradient; N: a non-local block for each
    network; a, r: 1x1 convolutions, c: a 3x3 convolution, l: a linear map. All of them learn.

    Tap: each level of a feature pyramid, ``neck.{0,1,2,3}``, one term per level. Weight: 1 and those
    within; the authors ship reduction 4, 4, 2, 2 and stride 8, 4, 2, 2 over the levels. Cost: eight
    1x1 convolutions.

    Args:
        student_channels, teacher_channels: of the taps; supplied by the build.
        reduction: the non-local blocks work in C / reduction channels.
        stride: max-pooling of what the non-local blocks attend to; 1 for none.
        mask_weight: w1, of the features under the attention mask.
        channel_weight: w2, of the channel attention.
        spatial_weight: w3, of the spatial attention.
        non_local_weight: w4, of the non-local relations.

    Shape:
        student, teacher: ``[B, C, H, W]``, any range; target: ignored. Returns a scalar >= 0, not 0
        for equal tensors.

    Raises:
        ValueError: tensors it was not built for.
    """

    def __init__(
        self,
        student_channels: int,
        teacher_channels: int,
        reduction: PositiveInt = 2,
        stride: PositiveInt = 2,
        mask_weight: NonNegative = 7e-5,
        channel_weight: NonNegative = 4e-3,
        spatial_weight: NonNegative = 4e-3,
        non_local_weight: NonNegative = 7e-5,
    ) -> None:
        super().__init__()
        self.mask_weight = mask_weight
        self.channel_weight = channel_weight
        self.spatial_weight = spatial_weight
        self.non_local_weight = non_local_weight
        # The student's adapters: l, c, a and r of the formula.
        self.channels = nn.Linear(student_channels, teacher_channels)
        self.positions = nn.Conv2d(1, 1, 3, padding=1)
        self.feature = nn.Conv2d(student_channels, teacher_channels, 1)
        self.relation = nn.Conv2d(student_channels, teacher_channels, 1)
        self.student_non_local = NonLocal(student_channels, reduction, stride)
        self.teacher_non_local = NonLocal(teacher_channels, reduction, stride)

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        require_channels(student, teacher, (self.feature.in_channels, self.feature.out_channels))
        s = to_float32(student)
        t = to_float32(teacher)
        # The student's side passes its adapters.
        channels = call_in_precision(self.channels, s.mean((2, 3)))
        positions = call_in_precision(self.positions, s.mean(1, keepdim=True))
        relation = call_in_precision(self.student_non_local, s)
        ours = ComparedFeatures(
            attention=_attention(s),
            channels=channels,
            positions=positions,
            relation=call_in_precision(self.relation, relation),
            feature=call_in_precision(self.feature, s),
        )
        theirs = ComparedFeatures(
            attention=_attention(t),
            channels=t.mean((2, 3)),
            positions=t.mean(1, keepdim=True),
            relation=call_in_precision(self.teacher_non_local, t),
            feature=t,
        )
        return self.distance(ours, theirs)

    def distance(self, student: ComparedFeatures, teacher: ComparedFeatures) -> Tensor:
        """Return the four norms of the differences, weighted and added."""
        # M: where both networks attend; a mask, so it gets no gradient.
        mask = ((student.attention + teacher.attention) / 2).detach().sqrt()
        masked = euclidean_distance(student.feature * mask, teacher.feature * mask)
        channels = torch.linalg.vector_norm(teacher.channels - student.channels)
        positions = torch.linalg.vector_norm(teacher.positions - student.positions)
        relation = torch.linalg.vector_norm(teacher.relation - student.relation)
        terms = (
            self.mask_weight * masked,
            self.channel_weight * channels,
            self.spatial_weight * positions,
            self.non_local_weight * relation,
        )
        return torch.stack(terms).sum()


@torch.no_grad()
def _attention(x: Tensor) -> Tensor:
    """Return the spatial attention ``[B, 1, H, W]`` of ``[B, C, H, W]``, of mean 1."""
    energy = x.abs().mean(1, keepdim=True)
    return (energy.flatten(1) / 0.5).softmax(1).view_as(energy) * energy[0].numel()
