"""Losses equal the published formulas, memory-efficient ones hold what they may, results are written and read."""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from published import PUBLISHED
from torch import nn

from densekd.losses import LOSSES, MEMORY_EFFICIENT

FOLDER = Path(__file__).parents[2] / "benchmarks"
# Behaviors other than those that the benchmark measures. Without dist's ``rows: images``, whose correlations are maps.
BEHAVIORS: dict[str, list[dict[str, Any]]] = {
    "at": [{"attention": "mean"}],
    "cgd": [{"transform": "pixel"}, {"transform": "none"}, {"shuffle_interval": 1}, {"group_size": 7}],
    "cwd": [
        {"temperature": 1.0},
        {"normalize": "spatial"},
        *({"normalize": n, "divergence": "mse"} for n in ("channel", "spatial", "channel_mean", "none")),
    ],
    "dist": [{"temperature": 2.0}, {"normalize": "none"}],
    "dkd": [{"temperature": 4.0}, {"reduction": "sum"}],
    "hwd": [
        {"values": "activations", "pixel_division": "N"},
        {"distance": "kl", "values": "activations"},
        {"distance": "smooth_l1", "values": "activations"},
    ],
    "ifvd": [{"mean": "labelled"}],
    "fgd": [{"temperature": 2.0}],
    "l1": [{"reduction": "sum"}],
    "l2": [{"normalize": "none"}, {"reduction": "distance"}],
    "ld": [{"region": "valuable"}, {"divisor": "weights"}],
    "pairwise": [{"granularity": 1}, {"granularity": 4}],
    "pixel": [{"temperature": 4.0}, {"void": "masked"}, {"divergence": "soft_ce"}, {"divergence": "hard_ce"}],
    "wsld": [{"temperature": 1.0}],
}


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load(monkeypatch, "losses")


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load(monkeypatch, "measuring")


def load(monkeypatch: pytest.MonkeyPatch, name: str) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    for module in ("losses", "published", "measuring"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return __import__(name)


@pytest.mark.parametrize("name", PUBLISHED)
def test_loss_and_formula_agree(bench: Any, name: str) -> None:
    found = []
    for one in bench.make_benches(name, bench.Shape(2, 5, 8, 12), "cpu").values():
        value = one.step()
        found.append((value, [leaf.grad.clone() for leaf in bench.leaves(one.student) if leaf.grad is not None]))
    (ours, gradients), (published, wanted) = found
    assert gradients
    assert ours.item() == pytest.approx(published.item(), rel=1e-4)
    for gradient, other in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-3, atol=1e-4 * other.abs().max().item())


def held(bench: Any, name: str, options: dict[str, Any]) -> float:
    """Return the most that a step holds, over the size of the maps, with as many classes as channels."""
    bench.OPTIONS[name] = {**bench.OPTIONS.get(name, {}), **options}
    ours = bench.make_benches(name, bench.Shape(4, 32, 32, 32), "cpu")["ours"]
    ratio: float = ours.peak_bytes() / ours.input_bytes
    return ratio


CLAIMED = [(name, options) for name in sorted(MEMORY_EFFICIENT) for options in ({}, *BEHAVIORS.get(name, []))]


@pytest.mark.parametrize(("name", "options"), CLAIMED, ids=str)
def test_a_memory_efficient_loss_holds_at_most_twice_its_inputs(bench: Any, name: str, options: dict[str, Any]) -> None:
    """Else take its name out of ``densekd.losses.MEMORY_EFFICIENT``: nobody has to be in it."""
    assert held(bench, name, options) <= bench.MOST


def test_only_published_methods_with_a_reason_hold_more(bench: Any) -> None:
    assert set(LOSSES) >= MEMORY_EFFICIENT | set(bench.HOLD_MORE)
    assert not MEMORY_EFFICIENT & set(bench.HOLD_MORE)
    assert all(held(bench, name, {}) > bench.MOST for name in bench.HOLD_MORE)


def test_the_others_are_listed(bench: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A plain autograd formula is welcome; what it holds is measured and printed."""
    others = {name: held(bench, name, {}) for name in LOSSES if name not in MEMORY_EFFICIENT}
    listed = ", ".join(f"{name} {ratio:.1f}" for name, ratio in others.items())
    with capsys.disabled():
        print(f"\nmemory of losses: {len(MEMORY_EFFICIENT)} hold at most {bench.MOST:g} times their maps; {listed}")
    assert all(ratio > 0 for ratio in others.values())


def test_peak_counts_what_an_operation_needs_inside(measuring: Any) -> None:
    """The sum of x.exp() and its square: x.exp() is 4000 bytes and stays while its square, of 4000, lives."""
    x = torch.randn(1000)

    def step() -> None:
        kept = x.exp()
        kept.square().sum()

    assert measuring.peak_bytes(step, "cpu") == 8004
    # log-sum-exp returns one number and makes a map of exponentials on the way.
    assert measuring.peak_bytes(lambda: x.logsumexp(0), "cpu") > 4000
    assert measuring.peak_bytes(lambda: x.view(10, 100), "cpu") == 0


def test_ledger(measuring: Any) -> None:
    """x.exp() is kept for the backward pass; the square is gone when the sum is there; 1000 numbers are 4000 bytes."""
    x = torch.randn(1000, requires_grad=True)
    with measuring.Ledger((x,)) as ledger:
        kept = x.exp()
        value = kept.square().sum()
        assert (ledger.live, ledger.peak, ledger.total) == (4004, 8004, 8004)
        del kept
        assert ledger.live == 4004
        value.backward()
        del value
        assert ledger.live == 4000
        x.grad = None
        assert (ledger.live, ledger.operations) == (0, 0)


def test_ledger_counts_products_but_neither_views_nor_inputs(measuring: Any) -> None:
    x = torch.randn(10, 10)
    with measuring.Ledger((x,)) as ledger:
        views = x.view(-1), x.T, x[2:], x.detach()
        assert ledger.peak == 0
        nn.functional.linear(x, x)
    assert len(views) == 4
    assert ledger.operations == 2 * 10**3


@pytest.mark.parametrize("name", LOSSES)
def test_memory_is_foreseen_without_storage(bench: Any, measuring: Any, name: str) -> None:
    """At most what it is, since nothing inside an operation is seen, which of the plain formula leaves most."""
    shape, speed = bench.Shape(2, 5, 16, 24), measuring.Speed(1e9, 1e9)
    found = {who: one.peak_bytes() for who, one in bench.make_benches(name, shape, "cpu").items()}
    empty = bench.make_benches(name, shape, "meta")
    foreseen = {who: one.forecast(speed).bytes for who, one in empty.items()}
    assert 0 < foreseen["ours"] <= 1.1 * found["ours"]
    if "published" in found:
        assert 0.6 * found["published"] <= foreseen["published"] <= 1.2 * found["published"]


def test_fewer_images_where_all_do_not_fit(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shape, effort = bench.Shape(8, 5, 8, 12), bench.Effort(1, 20.0)
    formula, one = bench.make_benches("cwd", shape, "meta")["published"], bench.Speed(1e12, 1e12)
    need = formula.forecast(one).bytes
    monkeypatch.setattr(bench, "free_bytes", lambda device: need / 0.7 / 3)
    row = bench.measure("cwd", shape, "cpu", effort)
    assert row["batch"] == 2
    assert row["input_bytes"] == 2 * 2 * 5 * 8 * 12 * 4
    assert row["note"].startswith("with 8 images ")
    assert "published needs" in row["note"]
    monkeypatch.setattr(bench, "free_bytes", lambda device: 1)
    assert bench.measure("cwd", shape, "cpu", effort).keys() == {"batch", "note"}


def test_fewer_images_where_all_take_too_long(bench: Any) -> None:
    """A product over pairs of images takes a quarter of the time with half of them."""
    shape, speed = bench.Shape(8, 5, 8, 12), bench.Speed(1e6, 1e30)
    times = []
    for images in (8, 4):
        benches = bench.make_benches("cirkd_minibatch", bench.replace(shape, B=images), "meta")
        times.append(benches["published"].forecast(speed).seconds)
    assert times[0] / times[1] == pytest.approx(4, rel=1e-6)
    images, note = bench.affordable("cirkd_minibatch", shape, "cpu", bench.Effort(1, 1e-9))
    assert images == 0
    assert "s a step" in note


def test_a_loss_without_a_formula_is_measured_alone(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its row has dashes where the formula's numbers would be."""
    monkeypatch.delitem(bench.PUBLISHED, "cwd")
    row = bench.measure("cwd", bench.Shape(2, 5, 8, 12), "cpu", bench.Effort(1, 20.0))
    assert row.keys() == {"batch", "input_bytes", "ours"}
    time, memory, *others = bench.cells(row)
    assert time.endswith(" ms")
    assert float(memory) > 0
    assert others == ["–"] * 4


def test_every_formula_belongs_to_a_loss() -> None:
    assert set(PUBLISHED) <= set(LOSSES)


def test_the_file(bench: Any, tmp_path: Path) -> None:
    """Each row comes from a process of its own; what dies there leaves its last words."""
    shown: list[str] = []
    options = ["--only", "cwd", "--shapes", "5x4x6", "3x-1x4", "--batch", "2", "--repeats", "1", "--device", "cpu"]
    bench.main([*options, "--machine", "Tiny Box", "--results", str(tmp_path)], shown.append)
    results = json.loads((tmp_path / "losses-tiny-box.json").read_text())
    assert results["batch"] == 2
    assert {"device", "name", "threads", "torch", "date"} <= results["machine"].keys()
    row, broken = (results["losses"]["cwd"][size] for size in ("5x4x6", "3x-1x4"))
    assert row["input_bytes"] == 2 * 2 * 5 * 4 * 6 * 4
    assert all(row[who]["seconds"] > 0 and row[who]["peak_bytes"] > 0 for who in ("ours", "published"))
    assert broken["batch"] == 0
    assert broken["note"].startswith("process ended with 1: ")
    assert len(shown) == 2
    bench.main(["--table", "--machine", "Tiny Box", "--results", str(tmp_path)], shown.append)
    lines = shown[-1].splitlines()
    assert lines[2].startswith("| cwd | 5x4x6 | 2 | ")
    assert lines[3].startswith("| cwd | 3x-1x4 | 0 [1] | – |")
    assert lines[-1].startswith("[1] cwd, 3x-1x4: process ended")
