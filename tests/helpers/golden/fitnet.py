"""Golden cases of ``fitnet``."""

from golden_cases import Case, Method, Outputs, Probe

from densekd.distill.adapters import conv
from densekd.losses.fitnet import FitNet


def fitnet(case: Case, s_channels: int, t_channels: int) -> Outputs:
    adapter = conv(s_channels, t_channels).to(case.dtype)
    adapter.load_state_dict(case.weights("conv."))
    parameters = {"conv.weight": adapter.get_parameter("weight")}
    return {"loss": Probe(FitNet(), adapter(case.student), case.teacher, parameters=parameters)}


METHODS: dict[str, Method] = {"fitnet": fitnet}
