"""Read ``metrics.csv``: one column per metric, one row per logged step, empty cells where nothing was logged."""

import csv
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from densekd.errors import UserError

Point = tuple[float, float]

# Name of the file, and of the entry of results.json that holds its checksum.
METRICS = "metrics.csv"

# No float32 reaches this; up to here differences and sums of a file stay finite in float64.
ENORMOUS = 1e300


@dataclass(frozen=True)
class Series:
    """One metric over training: ``(step, value)`` by rising step, and how many values were not finite."""

    points: tuple[Point, ...]
    not_finite: int


def checksum_of(path: Path) -> str | None:
    """Return the CRC-32 of a metrics file, 8 hexadecimal digits; None without one."""
    return f"{zlib.crc32(path.read_bytes()):08x}" if path.is_file() else None


def read_metrics(path: Path) -> dict[str, Series]:
    """Read a metrics file.

    A resumed run logs the steps after its checkpoint a second time; the later row counts.

    Args:
        path: the CSV file. Its first column is ``step``; every other cell is empty or a number.

    Returns:
        The columns that hold at least one value, in the order of the file.

    Raises:
        UserError: the file cannot be read or is malformed; the message names the line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.reader(lines)
            try:
                return _columns(rows, _header(next(rows, [])))
            except UnicodeDecodeError:
                raise  # text is decoded ahead of the rows: the line is not known
            except (ValueError, csv.Error) as error:
                raise UserError(f"{path}, line {max(rows.line_num, 1)}: {error}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}).") from error


def _header(names: list[str]) -> list[str]:
    first = names[0] if names else ""
    if first != "step":
        raise ValueError(f"the first column must be 'step', not {first!r}")
    for name in sorted(names):
        if names.count(name) > 1:
            raise ValueError(f"the column {name!r} appears twice")
    return names


def _columns(rows: Iterator[list[str]], header: list[str]) -> dict[str, Series]:
    logged: dict[str, dict[float, float]] = {name: {} for name in header[1:]}
    for row in rows:
        if not row:
            continue
        if len(row) != len(header):
            raise ValueError(f"{len(row)} cells, but the header has {len(header)}")
        step = _number(row[0], "step")
        if not abs(step) < ENORMOUS:  # true for NaN as well
            raise ValueError(f"the step must be finite, not {row[0]!r}")
        for name, cell in zip(header[1:], row[1:], strict=True):
            # An empty cell: the metric was not logged at this step.
            if cell.strip():
                logged[name][step] = _number(cell, name)
    # A column without any value was announced and never logged.
    return {name: _series(values) for name, values in logged.items() if values}


def _number(cell: str, column: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise ValueError(f"{cell!r} in column {column!r} is not a number") from None


def _series(values: dict[float, float]) -> Series:
    # NaN compares as false, and infinity is too large.
    finite = tuple((step, values[step]) for step in sorted(values) if abs(values[step]) < ENORMOUS)
    return Series(points=finite, not_finite=len(values) - len(finite))
