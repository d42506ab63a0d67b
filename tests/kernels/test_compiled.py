"""Triton kernels compiled for GPUs that are not there: nothing spills, loads are wide, NaN is kept."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from densekd.kernels.compiled import ARCHITECTURES, Compiled, compile_launch
from densekd.kernels.table import CHANNELS, DTYPES, KERNELS, LAYOUTS, Case, cases, launches, rows

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="Triton comes with torch for CUDA")

# Of the whole table, which ``python -m densekd.kernels`` compiles, what CI has the time for: each kernel
# with each precision and layout on one architecture, and on the others in the layout that training has.
SELECTION = [
    *((Case(kernel, "bf16", "channels-last", 150), "sm_90") for kernel in KERNELS),
    *((Case(kernel, "fp32", "contiguous", 19), "sm_90") for kernel in KERNELS),
    *((Case(kernel, "fp16", "channels-last", 512), "sm_90") for kernel in KERNELS),
    *((Case(kernel, "bf16", "channels-last", 19), "sm_80") for kernel in KERNELS),
    *((Case(kernel, "bf16", "channels-last", 19), "sm_100") for kernel in KERNELS),
]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)


def compiled(case: Case, architecture: str) -> list[Compiled]:
    return [compile_launch(launch, architecture) for launch in launches(case)]


@pytest.mark.parametrize(("case", "architecture"), SELECTION, ids=str)
def test_nothing_spills(case: Case, architecture: str) -> None:
    for made in compiled(case, architecture):
        assert made.spill_bytes == 0
        assert 0 < made.registers < 255
        assert made.occupancy >= 0.125
        # Additions in any order would differ from run to run.
        assert not re.search(r"\b(atom|red)\.", made.ptx)
        # A plain maximum with 0 would hide NaN.
        assert not re.search(r"max\.f32\s+[^;]*, 0f00000000;", made.ptx)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("kernel", ["channel_kl", "pixel_kl"])
def test_loads_are_wide_where_the_layout_allows(kernel: str, dtype: str, layout: str) -> None:
    for made in compiled(Case(kernel, dtype, layout, 512), "sm_90"):
        assert re.search(r"ld\.global\S*\.v[248]\.", made.ptx)


def test_the_table_has_every_kernel_precision_layout_and_number_of_channels() -> None:
    every = set(cases())
    for place, values in enumerate((KERNELS, DTYPES, LAYOUTS, CHANNELS)):
        assert {case[place] for case in every} == set(values)
    assert len(every) == 3 * 2 * (5 + 5 + 5 + 4 + 4)


def test_a_row_counts_the_bytes_of_the_maps() -> None:
    """Student, teacher and gradient in two bytes each, and a divergence in four at each position."""
    (row,) = rows(Case("pixel_kl", "bf16", "channels-last", 19), "sm_90", 4800.0)
    positions = 16 * 64 * 128
    assert row.least_bytes == positions * (19 * 6 + 4)
    assert row.least_microseconds == pytest.approx(row.least_bytes / 4800e9 * 1e6, abs=0.01)
    assert row.kernel == "pixel_kl.positions"
    assert "CHANNELS=32" in row.configuration


def test_small_maps_fill_a_gpu() -> None:
    """19 channels-last maps of 64 x 128 once filled 16 of 132 multiprocessors."""
    for launch in launches(Case("channel_kl", "bf16", "channels-last", 19)):
        assert launch.grid[0] * launch.grid[1] * launch.grid[2] >= 4 * 132


def test_architectures() -> None:
    assert ARCHITECTURES == ("sm_80", "sm_90", "sm_100")
