"""Command ``benchmark``: latency of models and exported artefacts on this machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from densekd.cli.arguments import JsonPath, Trust
from densekd.cli.console import console, print_next_prediction, print_plain, write_json
from densekd.cli.own_files import BENCHMARK, Force, require_own_json
from densekd.errors import UserError
from densekd.trust import trust_modules

if TYPE_CHECKING:
    from densekd.export.latency.benchmark import BenchmarkRow

_DASH = "\N{EN DASH}"


def benchmark(
    models: Annotated[list[str], typer.Argument(help="runs, packages, checkpoints, exported folders")],
    engine: Annotated[
        list[str] | None, typer.Option(help="eager, or the run's artefacts: onnx, openvino, torch")
    ] = None,
    size: Annotated[str | None, typer.Option(help="height x width; default: what the recipe evaluates at")] = None,
    threads: Annotated[int, typer.Option(help="of the engine; 0: its own choice")] = 0,
    batch: Annotated[int, typer.Option(help="pictures at once")] = 1,
    runs: Annotated[int | None, typer.Option(help="of each model; default: about --seconds")] = None,
    seconds: Annotated[float, typer.Option(help="for each model")] = 5.0,
    picture: Annotated[Path | None, typer.Option(help="draw accuracy against milliseconds: FILE.svg")] = None,
    trust: Trust = None,
    json: JsonPath = None,
    force: Force = False,
) -> None:
    """Measure latency, memory and size. Each model in a process of its own, in interleaved rounds."""
    from densekd.atomic import write_text
    from densekd.cli.arguments import located
    from densekd.export.latency.benchmark import benchmark_named
    from densekd.export.latency.options import BenchmarkOptions
    from densekd.export.latency.picture import accuracy_picture
    from densekd.export.options import parse_size, words

    require_own_json(json, BENCHMARK, force)
    _require_picture(picture, force)
    parsed = None if size is None else parse_size(size)
    options = BenchmarkOptions(tuple(words(engine or ())), parsed, threads, batch, runs, seconds, tuple(trust or ()))
    trust_modules(trust)
    rows = benchmark_named([str(located(model)) for model in models], options)
    console.print(benchmark_table(rows))
    write_json(json, [row.to_json() for row in rows])
    if picture is not None:
        write_text(picture, accuracy_picture(rows))
        print_plain(f"picture: {picture}")
    print_next_prediction(models[0], trust)


def benchmark_table(rows: "list[BenchmarkRow]") -> Table:
    """Return a row for each model: latency, throughput, size, memory, counts, accuracy."""
    # What is the same in all rows is said once.
    metrics = {f"{row.metric}, {row.unit}" if row.unit else row.metric for row in rows if row.score is not None}
    sizes = {row.size for row in rows}
    metric = metrics.pop() if len(metrics) == 1 else None
    heads = ("model", "ms", "95 %", "images /s", "MB", "peak MB", "M params", "G MACs", metric or "score")
    first = rows[0]
    threads = first.threads or "engine's"
    title = f"batch {first.batch}, threads: {threads}"
    if len(sizes) == 1:
        title = f"{_size(first)}, {title}"
    table = Table(*heads, title=title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        # Lines of their own: a path is broken as late as may be.
        name = "\n".join([row.model, row.engine] if len(sizes) == 1 else [row.model, f"{row.engine} {_size(row)}"])
        score = _DASH
        if row.score is not None:
            score = f"{row.score:.2f}" if metric else f"{row.metric} {row.score:.2f} {row.unit}".rstrip()
        cells = (
            f"{row.median_ms:.2f}",
            f"{row.p95_ms:.2f}",
            f"{row.images_per_second:.1f}",
            _scaled(row.bytes, 1e6, 1),
            _scaled(row.peak_bytes, 1e6, 0),
            _scaled(row.parameters, 1e6, 2),
            _scaled(row.multiply_adds, 1e9, 2),
            score,
        )
        table.add_row(name, *cells)
    return table


def _size(row: "BenchmarkRow") -> str:
    return f"{row.size[0]}x{row.size[1]}"


def _scaled(value: int | None, unit: float, digits: int) -> str:
    return _DASH if value is None else f"{value / unit:.{digits}f}"


def _require_picture(path: Path | None, force: bool) -> None:
    """Check before anything is measured that ``--picture`` replaces no file of somebody else's.

    Raises:
        UserError: another kind of file, or one that is there.
    """
    if path is None:
        return
    if path.suffix.lower() != ".svg":
        raise UserError(f"--picture {path}: the picture is an SVG; name a file that ends with .svg.")
    if path.is_dir():
        raise UserError(f"--picture {path}: is a folder; name a file.")
    if path.exists() and not force:
        raise UserError(f"--picture {path}: is there already; --force replaces it.")
