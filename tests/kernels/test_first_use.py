"""Kernels are compared with their formulas at the first use on a device; the interpreter plays the device."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from densekd.kernels import channel_kl, dispatch, first_use
from densekd.kernels.channel_kl import channel_kl_reference

TRITON = pytest.mark.skipif(find_spec("triton") is None, reason="Triton comes with torch for CUDA")

PROGRAM = """
import importlib, json, os, pathlib, warnings
import torch
from densekd.kernels import first_use

file = pathlib.Path(os.environ["XDG_CACHE_HOME"], "densekd", "kernels.json")
x = torch.randn(2, 3, 4, 5)
last = x.to(memory_format=torch.channels_last)


def asked(kernel, x):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        answer = first_use.agrees(kernel, x)
    return answer, [str(warning.message) for warning in seen if warning.category is UserWarning]


# All of them agree, and this is kept.
for kernel in first_use.KERNELS:
    assert asked(kernel, last) == (True, []), kernel
assert list(json.loads(file.read_text()).values()) == [True] * 5

# A kernel that is broken on purpose is caught once, whatever is broken.
module = importlib.import_module("densekd.kernels.pixel_kl")
triton = importlib.import_module("densekd.kernels.triton.pixel_kl")
works = triton.pixel_kl


def wrong_value(*arguments):
    value, grad = works(*arguments)
    return value * 1.01, grad


def wrong_gradient(*arguments):
    value, grad = works(*arguments)
    return value, grad.roll(1, 2)


def hides_nan(*arguments):
    return tuple(x.nan_to_num() for x in works(*arguments))


def does_not_compile(*arguments):
    raise RuntimeError("no kernel image\\nfor this device")


broken = ((wrong_value, "its value differs"), (wrong_gradient, "its gradient differs"),
          (hides_nan, "a NaN"), (does_not_compile, "RuntimeError: no kernel image."))
for triton.pixel_kl, words in broken:
    first_use._known.clear()
    answer, messages = asked("pixel_kl", x)
    assert not answer and len(messages) == 1 and words in messages[0], messages
    assert "pixel_kl float32 contiguous is not used" in messages[0]
    assert asked("pixel_kl", x) == (False, [])
    # What runs on CUDA is the formula then.
    ours, formula = module._fused_cuda(x, -x, 2.0), module.cpu_blocked(x, -x, 2.0)
    assert all(torch.equal(a, b) for a, b in zip(ours, formula))
    # Another layout was kept as good: it is not tried again.
    assert asked("pixel_kl", last) == (True, [])

# A failure is tried again by the next process; a damaged file is no obstacle.
triton.pixel_kl = works
first_use._known.clear()
assert asked("pixel_kl", x) == (True, [])
file.write_text("{")
first_use._known.clear()
assert asked("pixel_kl", x) == (True, [])
assert list(json.loads(file.read_text()).values()) == [True]
"""


@TRITON
def test_a_broken_kernel_is_caught_at_its_first_use(tmp_path: Path) -> None:
    """Triton reads the variable when it is imported: hence a process of its own."""
    environment = os.environ | {"TRITON_INTERPRET": "1", "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def test_the_plain_formula_runs_where_a_kernel_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The formula can be differentiated twice, the kernel cannot."""
    monkeypatch.setattr(dispatch, "runs_formula", lambda kernel, arguments: kernel == "channel_kl")
    student, teacher = torch.randn(1, 2, 3, 4, requires_grad=True), torch.randn(1, 2, 3, 4)
    assert torch.equal(channel_kl(student, teacher), channel_kl_reference(student, teacher))
    torch.autograd.grad(channel_kl(student, teacher).sum(), student, create_graph=True)


def test_nothing_is_tried_on_the_cpu() -> None:
    x = torch.zeros(1, 2, 3, 4)
    for kernel in first_use.KERNELS:
        assert not first_use.runs_formula(kernel, (x, x))
    assert first_use.describe(torch.device("cpu")) == "formulas in blocks that fit the cache"
