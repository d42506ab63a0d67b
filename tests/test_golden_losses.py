"""Every golden case of the methods we have, against numbers of the original authors' code.

A method is one function: it takes a case and the original's hyper-parameters by name and says what they are here.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import golden_methods_a
import golden_methods_b
import golden_methods_c
import golden_methods_d
import golden_methods_e
import pytest
import torch
import torch.nn.functional as F
from golden_cases import MANIFEST, Case, Method, Outputs, Probe, compare, hash_fill
from torch import Tensor, nn

from densekd.distill.terms import make_adapter
from densekd.kernels import using
from densekd.losses.cwd import CWD
from densekd.losses.pixel import Pixel

VOID = 255


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
    adapter = make_adapter("conv", s_channels, t_channels).to(case.dtype)
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
    linear = make_adapter("conv-bn-relu", inputs, outputs).to(case.dtype)
    linear.load_state_dict(case.weights("linear."), strict=False)
    student = linear(case.student) if use_linear else case.student
    parameters = {f"linear.{name}": parameter for name, parameter in linear.named_parameters()}
    buffers = {f"linear.{name}": buffer for name, buffer in linear.named_buffers()}
    return {"loss": Probe(CWD(temperature), student, case.teacher, parameters=parameters, buffers=buffers)}


def pixel_kd_torchdistiller(case: Case, temperature: float, upsample: bool) -> Outputs:
    student, teacher = case.student, case.teacher
    if upsample:
        student, teacher = (
            F.interpolate(x, scale_factor=8, mode="bilinear", align_corners=True) for x in (student, teacher)
        )
    return {"loss": Probe(Pixel(VOID, temperature, "element", "none"), student, teacher)}


def pixel_kd_cirkd(case: Case, temperature: float) -> Outputs:
    return {"loss": Probe(Pixel(VOID, temperature), case.student, case.teacher)}


def kl_mmrazor(case: Case, tau: float, reduction: str, loss_weight: float) -> Outputs:
    ours: Any = {"batchmean": "batch", "sum": "sum", "mean": "element", "none": "sum"}[reduction]
    name = "sum" if reduction == "none" else "loss"
    return {name: Probe(Pixel(VOID, tau, ours), case.student, case.teacher, factor=loss_weight)}


METHODS: dict[str, Method] = {
    **golden_methods_a.METHODS,
    **golden_methods_b.METHODS,
    **golden_methods_c.METHODS,
    **golden_methods_d.METHODS,
    **golden_methods_e.METHODS,
    "cwd.torchdistiller": cwd_torchdistiller,
    "cwd.cirkd": cwd_cirkd,
    "cwd.mmrazor": cwd_mmrazor,
    "cwd.mmseg_distiller": cwd_mmseg_distiller,
    "cwd.hwd_repo": cwd_hwd_repo,
    "pixel_kd.torchdistiller": pixel_kd_torchdistiller,
    "pixel_kd.cirkd": pixel_kd_cirkd,
    "kl.mmrazor": kl_mmrazor,
}

# What we refuse although the original returns something: the logarithm of numbers that are no distribution.
REFUSED: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    **golden_methods_a.REFUSED,
    "cwd.torchdistiller": lambda h: h["divergence"] == "kl" and h["norm_type"] in ("channel_mean", "none"),
}

# Outputs that describe an unreduced tensor, which a loss of ours never returns.
DOCUMENTED_OUTPUTS = {
    **golden_methods_a.DOCUMENTED_OUTPUTS,
    **golden_methods_e.DOCUMENTED_OUTPUTS,
    "kl.mmrazor": {"weighted"},
}

# Methods the catalogue leaves out.
NOT_WANTED = {
    "ab.mmrazor", "ofd.mmrazor", "ft.mmrazor", "rkd.mmrazor", "segdistill.history.kld", "segdistill.history.mask",
    "segdistill.history.shift", "segdistill.history.at_ifvd",
}  # fmt: skip

OURS = [entry for entry in MANIFEST["cases"] if entry["method"] in METHODS]
DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])


def refused(entry: Mapping[str, Any]) -> bool:
    return entry["method"] in REFUSED and REFUSED[entry["method"]](entry["hyperparameters"])


@pytest.fixture(params=["auto", "reference"])
def kernels(request: pytest.FixtureRequest) -> Iterator[None]:
    """Kernels on, then off."""
    with using(request.param):
        yield


@DTYPES
@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("entry", OURS, ids=[entry["name"] for entry in OURS])
def test_case(entry: Mapping[str, Any], dtype: torch.dtype) -> None:
    case = Case(entry, dtype)
    if refused(entry):
        with pytest.raises(ValueError, match="KL needs distributions"):
            case.outputs(METHODS)
    elif entry["compare"]:
        compare(case, case.outputs(METHODS), DOCUMENTED_OUTPUTS.get(entry["method"], set()))
    else:
        # The original raises or gives NaN; here there is a number and a gradient.
        for probe in case.outputs(METHODS).values():
            value = probe.value()
            (gradient,) = torch.autograd.grad(value, case.student, allow_unused=True)
            assert value.isfinite()
            assert gradient is None or gradient.isfinite().all()


def test_every_method_is_known() -> None:
    known = METHODS.keys() | NOT_WANTED
    assert set(MANIFEST["methods"]) | {entry["method"] for entry in MANIFEST["cases"]} <= known
    assert not METHODS.keys() & NOT_WANTED


def test_an_unknown_hyperparameter_fails() -> None:
    entry = {**OURS[0], "hyperparameters": {**OURS[0]["hyperparameters"], "surprise": 1}}
    with pytest.raises(TypeError, match="surprise"):
        Case(entry, torch.float64).outputs(METHODS)


def test_hash_fill() -> None:
    check = MANIFEST["hash_fill_check"]
    assert hash_fill(check["name"], 4, check["scale"]).tolist() == pytest.approx(check["first4"], rel=1e-7)


def test_summary(capsys: pytest.CaptureFixture[str]) -> None:
    compared = sum(entry["compare"] and not refused(entry) for entry in OURS)
    methods = [entry["method"] for entry in MANIFEST["cases"]]
    unwanted = sum(method in NOT_WANTED for method in methods)
    with capsys.disabled():
        print(
            f"\ngolden losses: {compared} cases compared, {len(OURS) - compared} documentation only, "
            f"{unwanted} not wanted"
        )
    assert compared > 0
    assert len(OURS) + unwanted == len(methods)


def _entropy(logits: Tensor) -> Tensor:
    return -(logits.softmax(2) * logits.log_softmax(2)).sum(2)
