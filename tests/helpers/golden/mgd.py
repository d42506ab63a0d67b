"""Golden cases of ``mgd``."""

from unittest import mock

from golden_cases import Case, Method, Outputs, Probe
from torch import Tensor, nn

from densekd.losses import mgd as mgd_module
from densekd.losses.mgd import MGD


class RecordedNumbers(nn.Module):
    """MGD with the random numbers of the original."""

    def __init__(self, loss: MGD, numbers: Tensor) -> None:
        super().__init__()
        self.loss = loss
        self.numbers = numbers

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        def random_sample(size: tuple[int, ...], like: Tensor) -> Tensor:
            assert self.numbers.shape == size
            return self.numbers

        with mock.patch.object(mgd_module, "random_sample", random_sample):
            return self.loss(student, teacher, target)  # type: ignore[no-any-return]


def mgd(
    case: Case,
    student_channels: int,
    teacher_channels: int,
    lambda_mgd: float,
    mask_on_channel: bool,
    alpha_mgd: float,
) -> Outputs:
    loss = MGD(student_channels, teacher_channels, lambda_mgd, "channel" if mask_on_channel else "position")
    prefix = "connector." if any(name.startswith("connector.") for name in case.entry["weights"]) else ""
    loss.to(case.dtype).load_state_dict(case.weights(prefix))
    parameters = {prefix + name: parameter for name, parameter in loss.named_parameters()}
    (key,) = case.entry["rand"]["keys"]
    recorded = RecordedNumbers(loss, case.read(key))
    return {"loss": Probe(recorded, case.student, case.teacher, factor=alpha_mgd, parameters=parameters)}


METHODS: dict[str, Method] = {"mgd": mgd}
