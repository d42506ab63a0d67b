"""Channel-wise knowledge distillation (Shu et al., ICCV 2021, arXiv 2011.13256, eq. 4)."""

from typing import Literal, get_args

from torch import Tensor, nn

from densekd.kernels import Upsample, channel_kl, pixel_kl, resized_channel_kl, resized_pixel_kl
from densekd.kernels.distance import squared_distance
from densekd.losses.inputs import require_one_shape, to_float32

Normalize = Literal["channel", "spatial", "channel_mean", "none"]
Divergence = Literal["kl", "mse"]


class CWD(nn.Module):
    """Match where each channel looks: KL between softmax maps over the positions of every channel.

    ``T^2 / (B C) * sum_{b,c} KL(softmax_HW(teacher / T) || softmax_HW(student / T))``: the sum over positions, the mean
    over images and channels.

    Tap: ``logits``, or features behind an adapter. Weight: 3 with T = 4 on logits (the authors), 5 with T = 1
    (MMRazor). Cost: two softmax maps.

    Args:
        temperature: T > 0.
        normalize: ``channel`` (the paper), ``spatial`` (softmax over channels at each position, mean over positions),
            ``channel_mean`` (each channel's mean, no softmax) or ``none`` (raw values); the last two need ``mse``.
        divergence: ``kl``, or ``mse``: squared error of the normalized values, which is taken at T = 1.

    Shape:
        student, teacher: ``[B, C, H, W]``, any range (logits or features); target: ignored. Returns a scalar >= 0.

    Raises:
        ValueError: a temperature that is not positive, an unknown choice, or a pair that has no meaning.
    """

    def __init__(
        self, temperature: float = 1.0, normalize: Normalize = "channel", divergence: Divergence = "kl"
    ) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        for value, choices in ((normalize, get_args(Normalize)), (divergence, get_args(Divergence))):
            if value not in choices:
                raise ValueError(f"'{value}' is not one of {', '.join(choices)}")
        if divergence == "kl" and normalize in ("channel_mean", "none"):
            raise ValueError(f"KL needs distributions; normalize: {normalize} gives none. Use divergence: mse")
        self.temperature = temperature if divergence == "kl" else 1.0
        self.normalize = normalize
        self.divergence = divergence

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32.

        Raises:
            ValueError: shapes that differ, also where both have as many positions.
        """
        require_one_shape(student, teacher)
        B, C, H, W = student.shape
        distributions = B * C if self.normalize in ("channel", "channel_mean") else B * H * W
        if self.divergence == "kl":
            divergence = channel_kl if self.normalize == "channel" else pixel_kl
            return divergence(student, teacher, self.temperature).sum() * (self.temperature**2 / distributions)
        s, t = student.flatten(2), teacher.flatten(2)
        return squared_distance(self._normalized(s), self._normalized(t)) / distributions

    def resized(self, student: Tensor, teacher: Tensor, to: Upsample, target: Tensor | None = None) -> Tensor:
        """Return the loss of the enlarged maps, which with ``kl`` are never held."""
        if self.divergence != "kl":
            return self.forward(to(student), to(teacher), target)
        divergence = resized_channel_kl if self.normalize == "channel" else resized_pixel_kl
        distributions = student.shape[0] * (
            student.shape[1] if self.normalize == "channel" else to.size[0] * to.size[1]
        )
        return divergence(student, teacher, to, self.temperature).sum() * (self.temperature**2 / distributions)

    def _normalized(self, x: Tensor) -> Tensor:
        x = to_float32(x)
        if self.normalize == "channel":
            return x.softmax(2)
        if self.normalize == "spatial":
            return x.softmax(1)
        return x.mean(2) if self.normalize == "channel_mean" else x
