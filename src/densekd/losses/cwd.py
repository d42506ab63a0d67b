"""CWD: channel-wise knowledge distillation (Shu et al., ICCV 2021, arXiv 2011.13256, eq. 4)."""

from typing import Literal

from torch import Tensor, nn

from densekd.kernels import Upsample, channel_kl, pixel_kl, resized_channel_kl, resized_pixel_kl
from densekd.kernels.distance import squared_distance
from densekd.ops.precision import to_float32
from densekd.ops.ranges import Positive
from densekd.ops.shapes import require_one_shape

Normalize = Literal["channel", "spatial", "channel_mean", "none"]
Divergence = Literal["kl", "mse"]


class CWD(nn.Module):
    """Channel-wise distillation: KL between softmax maps over the positions of every channel.

    ``T^2 / (B C) * sum_{b,c} KL(softmax_HW(teacher / T) || softmax_HW(student / T))``: the sum over
    positions, the mean over images and channels.

    Tap: ``logits``, or features after an adapter. Weight: 3 with T = 4 on logits (the authors), 5
    with T = 1 (MMRazor); 35 with T = 8 on features (TorchDistiller). Cost: two softmax maps.

    Args:
        temperature: T > 0.
        normalize: ``channel`` (the paper), ``spatial`` (softmax over channels at each position, mean
            over positions), ``channel_mean`` (each channel's mean, no softmax) or ``none`` (raw
            values); the last two need ``mse``.
        divergence: ``kl``, or ``mse``: squared error of the normalized values, which is taken at
            T = 1.

    Shape:
        student, teacher: ``[B, C, H, W]``, any range (logits or features); target: ignored. Returns
        a scalar >= 0.

    Raises:
        ValueError: ``kl`` of values that are no distributions.
    """

    def __init__(
        self,
        temperature: Positive = 1.0,
        normalize: Normalize = "channel",
        divergence: Divergence = "kl",
    ) -> None:
        super().__init__()
        # Only a softmax makes distributions.
        if divergence == "kl" and normalize in ("channel_mean", "none"):
            raise ValueError(f"KL needs distributions; normalize: {normalize} gives none. Use divergence: mse")
        self.temperature = temperature
        if divergence == "mse":
            self.temperature = 1.0
        self.normalize = normalize
        self.divergence = divergence
        # The kernels of the KL read half precision and compute in float32.
        self.takes_half = divergence == "kl"

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32.

        Raises:
            ValueError: shapes that differ, also where both have as many positions.
        """
        require_one_shape(student, teacher)
        size = (student.shape[2], student.shape[3])
        # Squared error of the normalized maps, at T = 1.
        if self.divergence == "mse":
            s = self._normalized(student.flatten(2))
            t = self._normalized(teacher.flatten(2))
            return squared_distance(s, t) / self._distributions(student, size)
        # eq. 4: one divergence for each channel, or for each position.
        if self.normalize == "channel":
            divergence = channel_kl(student, teacher, self.temperature)
        else:
            divergence = pixel_kl(student, teacher, self.temperature)
        return divergence.sum() * (self.temperature**2 / self._distributions(student, size))

    def resized(self, student: Tensor, teacher: Tensor, to: Upsample, target: Tensor | None = None) -> Tensor:
        """Return the loss of the upsampled maps, which with ``kl`` are never held."""
        if self.divergence == "mse":
            return self.forward(to(student), to(teacher), target)
        if self.normalize == "channel":
            divergence = resized_channel_kl(student, teacher, to, self.temperature)
        else:
            divergence = resized_pixel_kl(student, teacher, to, self.temperature)
        return divergence.sum() * (self.temperature**2 / self._distributions(student, to.size))

    def _distributions(self, x: Tensor, size: tuple[int, int]) -> int:
        """Count the distributions that the mean is over: channels or positions of all images."""
        B, C = x.shape[:2]
        if self.normalize in ("channel", "channel_mean"):
            return B * C
        return B * size[0] * size[1]

    def _normalized(self, x: Tensor) -> Tensor:
        """Normalize ``[B, C, H W]`` as the option says."""
        x = to_float32(x)
        if self.normalize == "channel":
            return x.softmax(2)
        if self.normalize == "spatial":
            return x.softmax(1)
        if self.normalize == "channel_mean":
            return x.mean(2)
        return x
