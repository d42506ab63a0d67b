"""The benchmark's formulas are our losses, its memory is what is alive, its file is written and read."""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from densekd.losses import LOSSES

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in ("losses", "published"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import losses

    return losses


@pytest.mark.parametrize("name", LOSSES)
def test_loss_and_formula_agree(bench: Any, name: str) -> None:
    found = []
    for one in bench.make_benches(name, bench.Shape(2, 5, 8, 12), "cpu"):
        value = one.step()
        found.append((value, [leaf.grad.clone() for leaf in bench.leaves(one.student)]))
    (ours, gradients), (published, wanted) = found
    assert ours.item() == pytest.approx(published.item(), rel=1e-4)
    for gradient, other in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-3, atol=1e-4 * other.abs().max().item())


def test_live_bytes(bench: Any) -> None:
    """x.exp() is kept for the backward pass; the square is gone when the sum is there; 1000 numbers are 4000 bytes."""
    x = torch.randn(1000, requires_grad=True)
    with bench.LiveBytes((x,)) as counter:
        kept = x.exp()
        value = kept.square().sum()
        assert counter.live == 4004
        assert counter.peak == 8004
        del kept
        assert counter.live == 4004
        value.backward()
        del value
        assert counter.live == 4000
        x.grad = None
        assert counter.live == 0


def test_views_and_inputs_count_nothing(bench: Any) -> None:
    x = torch.randn(10, 10)
    with bench.LiveBytes((x,)) as counter:
        views = x.view(-1), x.T, x[2:], x.detach()
    assert counter.peak == 0
    assert len(views) == 4


def test_memory_without_storage_is_the_same(bench: Any) -> None:
    for one in bench.make_benches("cwd", bench.Shape(2, 5, 8, 12), "cpu"):
        assert one.expected_bytes() == one.peak_bytes() > 0


def test_what_cannot_fit_is_not_run(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "free_bytes", lambda device: 1000)
    row = bench.measure("cwd", bench.Shape(2, 5, 8, 12), "cpu", 1)
    assert row["ours"]["seconds"] is None
    assert row["ours"]["peak_bytes"] > 1000


def test_the_file(bench: Any, tmp_path: Path) -> None:
    shown: list[str] = []
    options = ["--only", "cwd", "--shapes", "5x4x6", "3x4x4", "--batch", "2", "--repeats", "1", "--device", "cpu"]
    bench.main([*options, "--machine", "Tiny Box", "--results", str(tmp_path)], shown.append)
    results = json.loads((tmp_path / "losses-tiny-box.json").read_text())
    assert results["batch"] == 2
    assert {"device", "name", "threads", "torch", "date"} <= results["machine"].keys()
    row = results["losses"]["cwd"]["5x4x6"]
    assert row["input_bytes"] == 2 * 2 * 5 * 4 * 6 * 4
    assert all(row[who]["seconds"] > 0 and row[who]["peak_bytes"] > 0 for who in ("ours", "published"))
    assert len(shown) == 2
    bench.main(["--table", "--machine", "Tiny Box", "--results", str(tmp_path)], shown.append)
    assert shown[-1].count("\n") == 3
    assert all(line in shown[-1] for line in shown[:2])
