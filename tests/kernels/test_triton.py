"""The Triton kernels against the blocked CPU ones: run by Triton's interpreter, or on a GPU where one is at hand."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="Triton comes with torch for CUDA")

PROGRAM = """
import importlib, sys
import torch
from densekd.kernels import Upsample, Groups

torch.manual_seed(0)
device, name = sys.argv[1:]
cpu = importlib.import_module(f"densekd.kernels.{name}").cpu_blocked
triton = importlib.import_module(f"densekd.kernels.triton.{name}")
ours = getattr(triton, name)


def check(dtype, scale, *arguments):
    move = lambda x: x.to(device) if isinstance(x, torch.Tensor) else x
    value, grad = ours(*map(move, arguments))
    wanted, by = cpu(*arguments)
    assert grad.stride() == by.stride() and grad.dtype == by.dtype, (grad.stride(), by.stride())
    near = dict(rtol=1e-4 * scale, atol=1e-5 * scale)
    torch.testing.assert_close(value.cpu(), wanted, **near)
    half = dict(rtol=2e-2, atol=1e-3) if dtype == torch.bfloat16 else near
    torch.testing.assert_close(grad.cpu(), by, **half)


def maps(shape, dtype, layout, scale=2):
    x = (scale * torch.randn(shape)).to(dtype)
    return x.to(memory_format=torch.channels_last) if layout == "last" else x[..., ::1] if layout == "dense" else (
        torch.cat([x, x], 3)[..., : shape[3]])


for dtype, layout in ((torch.float32, "dense"), (torch.float32, "last"), (torch.bfloat16, "last"),
                      (torch.float16, "dense"), (torch.float32, "sliced")):
    for shape in ((2, 5, 3, 7), (1, 1, 1, 1)):
        own, other = maps(shape, dtype, layout), maps((*shape[:2], 2, 3), dtype, layout)
        upsample = Upsample((9, 5), align_corners=layout == "last")
        labels = torch.randint(shape[1], (shape[0], 9, 5))
        labels[:, :3] = 255
        if name == "channel_kl":
            triton._TILE = triton._LONGEST = 16
            for triton._WHOLE in (1, 4096):
                for groups in (Groups(), Groups(2, torch.randperm(shape[1]))):
                    check(dtype, 1, own, maps(shape, dtype, layout), 2.0, groups)
        elif name == "pixel_kl":
            check(dtype, 1, own, maps(shape, dtype, layout), 2.0)
        elif name == "resized_cross_entropy":
            check(dtype, 1, own, labels, torch.rand(shape[1]), 255, upsample.align_corners)
            check(dtype, 1, own, torch.full_like(labels, 255), None, 255, upsample.align_corners)
        elif name == "resized_pixel_kl":
            check(dtype, 1, own, other, upsample, 2.0, labels != 255)
            check(dtype, 1, own, maps(shape, dtype, layout), upsample, 2.0, labels != 255)
        else:
            check(dtype, 1, own, maps(shape, dtype, layout), upsample, 2.0, Groups())
            check(dtype, 1, own, other, upsample, 2.0, Groups(2, torch.randperm(shape[1])))

own, other = (maps((1, 3, 3, 4), torch.float32, "dense", 1e4) for _ in range(2))
labels = torch.randint(3, (1, 9, 5))
huge = {
    "channel_kl": (own, other, 1.0, Groups()),
    "pixel_kl": (own, other, 1.0),
    "resized_cross_entropy": (own, labels, None, 255, False),
    "resized_pixel_kl": (own, other, Upsample((9, 5)), 1.0, None),
    "resized_channel_kl": (own, other, Upsample((9, 5)), 1.0, Groups()),
}
check(torch.float32, 100, *huge[name])

# NaN in, NaN out, from either model.
for index in (0, 1) if name != "resized_cross_entropy" else (0,):
    spoiled = list(huge[name])
    spoiled[index] = spoiled[index] / 1e4
    spoiled[index][0, 1, 2, 1] = float("nan")
    value, grad = ours(*(x.to(device) if isinstance(x, torch.Tensor) else x for x in spoiled))
    assert value.isnan().any() and grad.isnan().any(), (index, value)
# Labels that are no class are never looked up: the loss is NaN.
if name == "resized_cross_entropy":
    for label in (3, 10**6, -7):
        wrong = labels.clone()
        wrong[0, 4, 2] = label
        value, _ = ours(own.to(device), wrong.to(device), None, 255, False)
        assert value.isnan(), label
    value, _ = ours(own.to(device), labels.to(device), None, 255, False)
    assert value.isfinite()
# Twice the same is the same bits, image by image, too.
from densekd.kernels.triton import upsampled
pair = [torch.cat([x, x.flip(0) + (x.dtype != torch.int64)]) if isinstance(x, torch.Tensor) else x for x in huge[name]]
pair = [x.to(device) if isinstance(x, torch.Tensor) else x for x in pair]
first, again = ours(*pair), ours(*pair)
upsampled._CORNERS = 1
apart = ours(*pair)
for a, b, c in zip(first, again, apart):
    assert torch.equal(a, b) and torch.equal(a, c)
"""
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
KERNELS = ["channel_kl", "pixel_kl", "resized_cross_entropy", "resized_pixel_kl", "resized_channel_kl"]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", KERNELS)
def test_equals_the_blocked_kernel(name: str, device: str) -> None:
    """Triton reads the variable when it is imported: hence a process of its own."""
    environment = os.environ | ({"TRITON_INTERPRET": "1"} if device == "cpu" else {})
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, device, name]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
