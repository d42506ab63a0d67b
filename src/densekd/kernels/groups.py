"""Channels that are looked at together."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from densekd.kernels.divergence import Divergence

# Stands for minus infinity behind the last channel: its probability is 0, and 0 times a finite number stays 0.
_ABSENT = -1e30


@dataclass(frozen=True)
class Groups:
    """Channels that share one distribution.

    Args:
        size: channels of a group; what is left makes the last.
        order: a permutation of the channels, int64 ``[C]``, of which each ``size`` that follow each other make a group;
            None leaves them as they are.
    """

    size: int = 1
    order: Tensor | None = None

    def count(self, channels: int) -> int:
        """Return G, the number of groups."""
        return -(-channels // self.size)

    def gathered(self, x: Tensor, absent: float) -> Tensor:
        """``[B, C]`` -> ``[B, G, size]``, filled up with ``absent``."""
        x = x if self.order is None else x[:, self.order]
        return F.pad(x, (0, -x.shape[1] % self.size), value=absent).view(len(x), -1, self.size)

    def returned(self, x: Tensor, channels: int) -> Tensor:
        """``[B, G, size]`` -> ``[B, C]``, the inverse."""
        x = x.flatten(1)[:, :channels]
        return x if self.order is None else x[:, self.order.argsort()]

    def parts(self, rows: Divergence) -> tuple[Tensor, Divergence]:
        """Return each channel's summand of its group's divergence, ``[B, C]``, and the group seen from each channel."""
        C = rows.kl.shape[1]
        columns = Divergence(*(self.gathered(x, a) for x, a in zip(rows, (0.0, _ABSENT, _ABSENT), strict=True)))
        whole = (x[..., None].expand_as(columns.kl) for x in columns.joined(2))
        return self.returned(columns.parts(2), C), Divergence(*(self.returned(x, C) for x in whole))


SINGLE = Groups()
