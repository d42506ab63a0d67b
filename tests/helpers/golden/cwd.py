"""Golden cases of ``cwd``."""

from collections.abc import Callable, Mapping
from typing import Any

from golden_cases import Case, Method, Outputs, Probe
from torch import Tensor, nn

from densekd.distill.adapters import conv, conv_bn_relu
from densekd.losses.cwd import CWD


def cwd_torchdistiller(case: Case, norm_type: Any, divergence: Any, temperature: float) -> Outputs:
    loss = CWD(temperature, norm_type, divergence)
    if norm_type != "none":
        return {"loss": Probe(loss, case.student, case.teacher)}
    # The original compares the first sample alone and still divides by the whole batch.
    return {"loss": Probe(loss, case.student[:1], case.teacher[:1], factor=1 / len(case.student))}


def cwd_cirkd(
    case: Case,
    norm_type: Any,
    divergence: Any,
    temperature: float = 1.0,
    s_channels: int | None = None,
    t_channels: int | None = None,
) -> Outputs:
    loss = CWD(temperature, norm_type, divergence)
    if s_channels is None or t_channels is None or s_channels == t_channels:
        return {"loss": Probe(loss, case.student, case.teacher)}
    adapter = conv(s_channels, t_channels).to(case.dtype)
    adapter.load_state_dict(case.weights("conv."))
    # The original reads the channel count of its divisor before the adapter.
    factor = t_channels / s_channels if norm_type == "channel" else 1.0
    parameters = {"conv.weight": adapter.get_parameter("weight")}
    return {"loss": Probe(loss, adapter(case.student), case.teacher, factor=factor, parameters=parameters)}


def cwd_mmrazor(case: Case, tau: float, loss_weight: float) -> Outputs:
    return {"loss": Probe(CWD(tau), case.student, case.teacher, factor=loss_weight)}


def cwd_mmseg_distiller(case: Case, tau: float, weight: float, student_channels: int, teacher_channels: int) -> Outputs:
    student, parameters = case.student, {}
    if student_channels != teacher_channels:
        # Ours has no bias: the softmax over positions takes it out again, its gradient is zero.
        align = nn.Conv2d(student_channels, teacher_channels, 1, dtype=case.dtype)
        align.load_state_dict(case.weights("align."))
        student = align(student)
        parameters = {f"align.{name}": parameter for name, parameter in align.named_parameters()}
    # A cross-entropy: it leaves in the teacher's entropy. Its divisor counts the channels before the alignment.
    entropy = tau**2 / (len(student) * student_channels) * _entropy(case.teacher.flatten(2) / tau).sum()
    factor = weight * teacher_channels / student_channels
    probe = Probe(CWD(tau), student, case.teacher, None, factor, weight * entropy, parameters)
    return {"loss": probe}


def cwd_hwd_repo(case: Case, temperature: float, use_linear: bool) -> Outputs:
    outputs, inputs, *_ = case.entry["weights"]["linear.0.weight"]["shape"]
    linear = conv_bn_relu(inputs, outputs).to(case.dtype)
    linear.load_state_dict(case.weights("linear."), strict=False)
    student = linear(case.student) if use_linear else case.student
    parameters = {f"linear.{name}": parameter for name, parameter in linear.named_parameters()}
    buffers = {f"linear.{name}": buffer for name, buffer in linear.named_buffers()}
    return {"loss": Probe(CWD(temperature), student, case.teacher, parameters=parameters, buffers=buffers)}


def _entropy(logits: Tensor) -> Tensor:
    return -(logits.softmax(2) * logits.log_softmax(2)).sum(2)


METHODS: dict[str, Method] = {
    "cwd.torchdistiller": cwd_torchdistiller,
    "cwd.cirkd": cwd_cirkd,
    "cwd.mmrazor": cwd_mmrazor,
    "cwd.mmseg_distiller": cwd_mmseg_distiller,
    "cwd.hwd_repo": cwd_hwd_repo,
}

# What we refuse although the original returns something: the logarithm of numbers that are no distribution.
REFUSED: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "cwd.torchdistiller": lambda h: h["divergence"] == "kl" and h["norm_type"] in ("channel_mean", "none"),
}
