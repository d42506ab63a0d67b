"""Triton kernels compiled for GPUs that are not there: nothing spills, loads are wide, NaN is kept."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from densekd.kernels.compiled import ARCHITECTURES, Compiled, compile_launch
from densekd.kernels.table import CHANNELS, DTYPES, KERNELS, LAYOUTS, Case, cases, launches, rows

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="Triton comes with torch for CUDA")

# The whole table of this architecture is compiled here.
WHOLE = "sm_90"
# Of the others, what needs the most registers there, kernel by kernel; ``python -m densekd.kernels
# --arch sm_80`` compiles the rest.
SELECTION = [
    Case("channel_kl", "bf16", "channels-last", 512),
    Case("pixel_kl", "fp32", "contiguous", 4096),
    Case("resized_channel_kl", "fp32", "contiguous", 19),
    Case("resized_cross_entropy", "bf16", "contiguous", 512),
    Case("resized_pixel_kl", "fp32", "contiguous", 150),
    *(Case(kernel, "bf16", "channels-last", 19) for kernel in KERNELS),
]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)


def compiled(case: Case, architecture: str) -> list[Compiled]:
    return [compile_launch(launch, architecture) for launch in launches(case)]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_nothing_spills(kernel: str, dtype: str, layout: str) -> None:
    """Every number of channels; launches that are the same code are compiled once."""
    of_this = [case for case in cases() if case[:3] == (kernel, dtype, layout)]
    assert of_this
    for case in of_this:
        require_clean(case, WHOLE)


@pytest.mark.parametrize("architecture", sorted(set(ARCHITECTURES) - {WHOLE}))
@pytest.mark.parametrize("case", SELECTION, ids=str)
def test_nothing_spills_on_other_architectures(case: Case, architecture: str) -> None:
    require_clean(case, architecture)


def require_clean(case: Case, architecture: str) -> None:
    """Assert that no launch spills, adds up in any order, or hides NaN."""
    for made in compiled(case, architecture):
        assert made.spill_bytes == 0, case
        assert 0 < made.registers < 255, case
        assert made.occupancy >= 0.125, case
        # Additions in any order would differ from run to run.
        assert not re.search(r"\b(atom|red)\.", made.ptx), case
        # A plain maximum with 0 would hide NaN.
        assert not re.search(r"max\.f32\s+[^;]*, 0f00000000;", made.ptx), case


def test_equal_code_is_compiled_once() -> None:
    """Of contiguous maps the number of channels is an argument like any other."""
    few, many = (compiled(Case("channel_kl", "fp32", "contiguous", channels), WHOLE)[0] for channels in (512, 1024))
    assert few is many


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
