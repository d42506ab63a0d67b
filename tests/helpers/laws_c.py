"""One instance per behavior of the losses that compare features, for the laws every loss obeys."""

from collections.abc import Callable

from torch import Tensor, nn

from densekd.losses.at import AT
from densekd.losses.dsd import CSD, DSD, PSD
from densekd.losses.fitnet import FitNet
from densekd.losses.ifvd import IFVD
from densekd.losses.pairwise import Pairwise

VOID = 255


class Levels(nn.Module):
    """Feed a loss that takes tuples from single tensors: three levels with attention of their own."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None) -> Tensor:
        value: Tensor = self.loss(self.levels(student), self.levels(teacher), target)
        return value

    @staticmethod
    def levels(x: Tensor) -> tuple[Tensor, ...]:
        return x, x[:, :1], x.roll(1, 3)


MAKE: dict[str, Callable[[], nn.Module]] = {
    "at": AT,
    "at mean": lambda: AT("mean"),
    "dsd": lambda: Levels(DSD()),
    "dsd.psd": lambda: Levels(PSD()),
    "dsd.csd": lambda: CSD(0.5),
    "fitnet": FitNet,
    "ifvd": lambda: IFVD(5, VOID),
    "ifvd labelled": lambda: IFVD(5, VOID, "labelled"),
    "pairwise": Pairwise,
    "pairwise positions": lambda: Pairwise(1),
    "pairwise coarse": lambda: Pairwise(4),
}

# Name in LOSSES -> laws that do not hold: the test's name without test_.
EXCEPTIONS: dict[str, set[str]] = {
    # Maps of attention and similarities have no channels, so the two models may differ in theirs; sizes are refused.
    "at": {"other_shapes_are_refused"},
    "dsd.psd": {"other_shapes_are_refused"},
    "ifvd": {"other_shapes_are_refused"},
    "pairwise": {"other_shapes_are_refused"},
}
