"""Golden cases of ``hwd``."""

from collections.abc import Callable, Mapping
from typing import Any

from golden_cases import Case, Method, Outputs, Probe

from densekd.losses.hwd import HWD


def hwd(
    case: Case,
    norm: bool = True,
    L: str = "MSE",  # noqa: N803
    process: Any = "E",
    parameter: float = 0.1,
    DivPixel: Any = "None",  # noqa: N803
    shift: float = 0.0,
    activation: bool = False,
) -> Outputs:
    distance: Any = {"MSE": "mse", "L1": "l1", "SMOOTHL1": "smooth_l1", "KL": "kl"}[L]
    division: Any = "none" if DivPixel == "None" else DivPixel
    values: Any = "activations" if activation else "logits"
    # Without normalization the original adds no shift.
    loss = HWD(distance, values, division, shift if norm else None, process, parameter)
    return {"loss": Probe(loss, case.student, case.teacher, case.inputs["labels"])}


METHODS: dict[str, Method] = {"hwd": hwd}

# The original refuses it too: the divergence of logits that are no distributions.
REFUSED: dict[str, Callable[[Mapping[str, Any]], bool]] = {"hwd": lambda h: h.get("L") == "KL" and not h["activation"]}
