"""Packed maps come back as exactly as their kind promises."""

import math

import pytest
import torch

from densekd.teacher_cache.packing import CachedTeacher, Packing, unpack

MAPS = 5 * torch.randn(3, 7, 4, 6, generator=torch.Generator().manual_seed(0)) + torch.arange(7).view(1, 7, 1, 1)


def test_fp32_is_lossless() -> None:
    x = MAPS.contiguous(memory_format=torch.channels_last)
    back = unpack(Packing("fp32").pack(x), 7)
    assert torch.equal(back, x)
    assert back.stride() == x.stride()


def test_bf16_is_lossless_for_a_teacher_of_bf16() -> None:
    assert torch.equal(unpack(Packing("bf16").pack(MAPS.bfloat16()), 7), MAPS.bfloat16().float())
    torch.testing.assert_close(unpack(Packing("bf16").pack(MAPS), 7), MAPS, rtol=2**-8, atol=0)


def test_fp8_keeps_its_bound() -> None:
    packed = Packing("fp8").pack(MAPS)
    assert packed["values"].nbytes == MAPS.numel()
    distance = (MAPS - MAPS.mean((2, 3), keepdim=True)).abs()
    unit = distance.amax((2, 3), keepdim=True) / 448
    error = (unpack(packed, 7) - MAPS).abs()
    assert (error <= (distance / 16).maximum(unit * 2**-10) + 1e-5).all()
    assert error.max() > 1e-3
    constant = torch.full((1, 2, 3, 3), 7.5)
    assert torch.equal(unpack(Packing("fp8").pack(constant), 2), constant)


def test_fp8_uses_its_whole_range() -> None:
    packed = Packing("fp8").pack(MAPS)
    assert (packed["values"].float().abs().amax((1, 2)) == 448).all()
    # One large value among small ones: these keep their significant bits, or all but 2^-10 units.
    x = torch.full((1, 1, 16, 16), 0.01)
    x[..., ::2] = -0.01
    x[0, 0, 0, 0] = 1.0
    distance = (x - x.mean()).abs()
    error = (unpack(Packing("fp8").pack(x), 1) - x).abs()
    assert (error <= (distance / 16).maximum(distance.max() / 448 * 2**-10) + 1e-7).all()


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp8"])
def test_top_k_keeps_the_probabilities_of_the_largest(dtype: str) -> None:
    packed = Packing(dtype, 3).pack(MAPS)  # type: ignore[arg-type]
    assert packed["values"].shape == (3, 4, 6, 4)
    assert packed["index"].dtype == torch.uint8
    back, whole = unpack(packed, 7).softmax(1), MAPS.softmax(1)
    top = MAPS.topk(3, 1).indices
    tolerance = {"fp32": 1e-6, "bf16": 0.03, "fp8": 0.5}[dtype]
    torch.testing.assert_close(back.gather(1, top), whole.gather(1, top), rtol=0, atol=tolerance)
    if dtype == "fp32":
        rest = whole.scatter(1, top, 0)
        torch.testing.assert_close(back.scatter(1, top, 0).sum(1), rest.sum(1))
        shared = (rest.sum(1, keepdim=True) / 4).expand(-1, 7, -1, -1)
        torch.testing.assert_close(back.scatter(1, top, 0), shared.scatter(1, top, 0))


def test_many_classes_have_wide_indices() -> None:
    x = torch.randn(1, 300, 2, 2)
    packed = Packing("fp32", 2).pack(x)
    assert packed["index"].dtype == torch.int16
    back = unpack(packed, 300)
    assert torch.equal(back.amax(1), x.amax(1))
    assert torch.equal(back.argmax(1), x.argmax(1))
    assert math.isfinite(back.sum())


def test_replay_stands_in_for_a_teacher() -> None:
    packed = {"a": Packing("fp32").pack(MAPS), "b": Packing("fp32", 2).pack(MAPS)}
    replayed = CachedTeacher({"a": 7, "b": 7})(packed)
    assert list(replayed) == ["a", "b"]
    assert torch.equal(replayed["a"], MAPS)
    assert replayed["b"].shape == MAPS.shape
