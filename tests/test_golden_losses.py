"""Every golden case of the methods we have, against numbers of the original authors' code.

What they are in our terms is in ``helpers/golden/<method>.py``.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from golden import DOCUMENTED_OUTPUTS, METHODS, REFUSED
from golden_cases import MANIFEST, Case, compare, hash_fill

from densekd.kernels import using

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
