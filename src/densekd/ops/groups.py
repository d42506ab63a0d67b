"""Channel groups: channels that share one softmax distribution (channel group distillation)."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from densekd.ops.divergence import Divergence

# Minus infinity for channels that pad the last group: probability 0, and 0 times a finite number
# stays 0.
_PADDED = -1e30


@dataclass(frozen=True)
class Groups:
    """Partition of C channels into G groups of equal size.

    Args:
        size: channels of a group; the last group has those that are left over.
        order: a permutation of the channels, int64 ``[C]``, of which each run of ``size`` is a
            group; None keeps the channels' own order.
    """

    size: int = 1
    order: Tensor | None = None

    def gathered(self, x: Tensor, padding: float) -> Tensor:
        """Gather the channels of each group, the last one padded: ``[B, C]`` -> ``[B, G, size]``."""
        if self.order is not None:
            x = x[:, self.order]
        missing = -x.shape[1] % self.size
        padded = F.pad(x, (0, missing), value=padding)
        return padded.view(len(x), padded.shape[1] // self.size, self.size)

    def scattered(self, x: Tensor, channels: int) -> Tensor:
        """Put values back to their channels, the inverse: ``[B, G, size]`` -> ``[B, C]``."""
        x = x.flatten(1)[:, :channels]
        if self.order is None:
            return x
        return x[:, self.order.argsort()]

    def summands(self, channels: Divergence) -> tuple[Tensor, Divergence]:
        """Join the divergences of channels to those of their groups.

        Args:
            channels: statistics of each channel, ``[B, C]``.

        Returns:
            What each channel adds to its group's divergence, ``[B, C]``, and for each channel the
            statistics of its group, ``[B, C]``.
        """
        C = channels.kl.shape[1]
        # [B, G, size]
        members = Divergence(
            self.gathered(channels.kl, 0.0),
            self.gathered(channels.student, _PADDED),
            self.gathered(channels.teacher, _PADDED),
        )
        # [B, G], and back to every channel of the group
        group = members.joined(2)
        repeated = [self.scattered(x[..., None].expand_as(members.kl), C) for x in group]
        return self.scattered(members.summands(2), C), Divergence(*repeated)


SINGLE = Groups()
