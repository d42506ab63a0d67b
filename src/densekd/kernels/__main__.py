"""Command: registers, spills and least time of every Triton kernel, compiled without a GPU."""

import argparse
import json
from dataclasses import asdict, fields
from importlib.util import find_spec

from densekd.kernels.compiled import ARCHITECTURES
from densekd.kernels.table import CHANNELS, DTYPES, KERNELS, LAYOUTS, Row, cases, rows
from densekd.terminal import write_document

# GB/s of the memory of an A100, an H200 and a B200.
_BANDWIDTH = {"sm_80": 2039.0, "sm_90": 4800.0, "sm_100": 8000.0}


def main() -> None:
    """Print a row for each launch, as they are compiled; exit with 1 where one spills."""
    parser = argparse.ArgumentParser(prog="python -m densekd.kernels", description=__doc__)
    parser.add_argument("--arch", choices=ARCHITECTURES, default="sm_90")
    parser.add_argument("--bandwidth", type=float, help="GB/s of the device's memory; the architecture's if left out")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--kernel", choices=KERNELS, help="this one alone")
    parser.add_argument("--dtype", choices=DTYPES, help="this precision alone")
    parser.add_argument("--layout", choices=LAYOUTS, help="this layout alone")
    parser.add_argument("--channels", type=int, choices=CHANNELS, help="this number of channels alone")
    asked = parser.parse_args()
    if find_spec("triton") is None:
        parser.error("Triton is not installed; it comes with torch for CUDA. Install it by 'pip install triton'.")
    bandwidth = asked.bandwidth or _BANDWIDTH[asked.arch]
    spilled = False
    if not asked.json:
        write_document("  ".join(field.name for field in fields(Row)) + "\n")
    for case in cases():
        wanted = (asked.kernel, asked.dtype, asked.layout, asked.channels)
        if any(want not in (None, value) for want, value in zip(wanted, case, strict=True)):
            continue
        for row in rows(case, asked.arch, bandwidth):
            spilled = spilled or row.spill_bytes > 0
            values = asdict(row)
            line = json.dumps(values) if asked.json else "  ".join(str(value) for value in values.values())
            write_document(line + "\n")
    raise SystemExit(int(spilled))


if __name__ == "__main__":
    main()
