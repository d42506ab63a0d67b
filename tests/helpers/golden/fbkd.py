"""Golden cases of ``fbkd``."""

from golden_cases import Case, Method, Outputs, Probe
from torch import Tensor, nn

from densekd.losses.fbkd import FBKD, ComparedFeatures


class AfterConnectors(nn.Module):
    """FBKD after its connectors: the originals' are not in the cases, which give what comes out of them."""

    def __init__(self, loss: FBKD) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, student: tuple[Tensor, ...], teacher: tuple[Tensor, ...], target: Tensor | None = None) -> Tensor:
        attention, _unused, channels, positions, relation, feature = student
        ours = ComparedFeatures(attention, channels, positions, relation, feature)
        attention, _unused, positions, relation, feature = teacher
        theirs = ComparedFeatures(attention, feature.mean((2, 3)), positions, relation, feature)
        return self.loss.distance(ours, theirs)


def fbkd_mmrazor(
    case: Case,
    mask_l2_weight: float = 7e-5,
    channel_weight: float = 4e-3,
    spatial_weight: float = 4e-3,
    nonloacl_weight: float = 7e-5,  # the original's spelling
    loss_weight: float = 1.0,
) -> Outputs:
    loss = FBKD(
        1,
        1,
        mask_weight=mask_l2_weight,
        channel_weight=channel_weight,
        spatial_weight=spatial_weight,
        non_local_weight=nonloacl_weight,
    )
    return {"loss": Probe(AfterConnectors(loss), case.student, case.teacher, factor=loss_weight)}


METHODS: dict[str, Method] = {"fbkd.mmrazor": fbkd_mmrazor}
