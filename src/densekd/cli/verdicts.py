"""Verdicts on exported artefacts as a table and lines on the screen."""

from collections.abc import Iterator, Sequence

from rich.table import Table

from densekd.export.verdict import Verdict

_DASH = "\N{EN DASH}"


def verdict_table(verdicts: Sequence[Verdict]) -> Table:
    """Return a row for each artefact: verdict, difference, equal labels, scores, size."""
    metric = next((verdict.metric for verdict in verdicts if verdict.metric), "score")
    heads = ("artefact", "verdict", "difference", "equal %", f"{metric} torch", "engine", "drop", "MB")
    table = Table(*heads)
    for column in table.columns[2:]:
        column.justify = "right"
    for verdict in verdicts:
        cells = (
            _number(verdict.difference, ".1e"),
            _share(verdict.equal_labels),
            _number(verdict.torch_score, ".2f"),
            _number(verdict.engine_score, ".2f"),
            _number(verdict.drop, "+.2f"),
            f"{verdict.bytes / 1e6:.1f}" if verdict.bytes else _DASH,
        )
        table.add_row(f"{verdict.engine}-{verdict.precision}", verdict.status, *cells)
    return table


def class_lines(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Yield what precisions below float32 cost each class, a line for each artefact."""
    for verdict in verdicts:
        if verdict.precision == "fp32" or not verdict.drops:
            continue
        classes = [f"{name} {drop:+.2f}" for name, drop in verdict.drops.items()]
        yield f"{verdict.engine}-{verdict.precision} costs by class: {', '.join(classes)}"


def _number(value: float | None, form: str) -> str:
    return _DASH if value is None else format(value, form)


def _share(value: float | None) -> str:
    return _DASH if value is None else f"{100 * value:.2f}"
