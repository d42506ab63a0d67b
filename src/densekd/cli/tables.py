"""Tables of what a recipe may name: losses, models, datasets, adapters, tasks, loggers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from densekd.data import DATASETS
from densekd.distill.adapters import ADAPTERS
from densekd.distill.term_plan import MEASURED
from densekd.losses import LOSSES
from densekd.models import MODELS
from densekd.models.families import CONVENTIONS, Convention
from densekd.models.sources import SOURCES
from densekd.run.loggers import LOGGERS
from densekd.signature import Option, read_options, summary
from densekd.tasks import TASKS

# See :func:`densekd.models.named.build_named`.
_INPUT = Option(
    str | Convention | None,
    None,
    "input convention of the weights, where it is not the model's own: "
    f"{', '.join(CONVENTIONS)}, or channel order, mean and standard deviation in units of [0, 1]",
)


@dataclass(frozen=True)
class Table:
    """One table.

    Args:
        rows: name -> class or function.
        key: of a recipe that names a row.
        options_key: of a recipe, for the options of the row.
        supplied: arguments that the build knows, which are no options.
        sources: prefix -> function, for names like ``hf:NAME``.
        shared: options that every row takes besides its own.
    """

    rows: Mapping[str, Callable[..., Any]]
    key: str
    options_key: str
    supplied: tuple[str, ...] = ()
    sources: Mapping[str, Callable[..., Any]] | None = None
    shared: Mapping[str, Option] = field(default_factory=dict)

    def options(self, name: str) -> dict[str, Option]:
        """Return the options of a row, or of a source like ``hf:``."""
        factory = self.rows.get(name) or partial((self.sources or {})[name], "")
        options = read_options(factory)
        for name_of_supplied in self.supplied:
            options.pop(name_of_supplied, None)
        return {**options, **self.shared}

    def summary(self, name: str) -> str:
        """Return what a row, or a source like ``hf:``, is: the first sentence of its docstring."""
        return summary(self.rows.get(name) or (self.sources or {})[name])


TABLES = {
    "loss": Table(LOSSES, "distill.*.method", "distill.*.options", MEASURED),
    "adapter": Table(ADAPTERS, "distill.*.adapter", "distill.*.adapter.options", MEASURED),
    "model": Table(
        MODELS,
        "student.model",
        "student.options",
        supplied=("num_classes", "weights"),
        sources=SOURCES,
        shared={"input": _INPUT},
    ),
    "dataset": Table(DATASETS, "data.dataset", "data.options", ("root", "split")),
    "task": Table(TASKS, "task.kind", "task", ("num_classes", "ignore_index", "files", "evaluation")),
    "logger": Table(LOGGERS, "logging", "logging.*.options", ("folder", "run_name")),
}


def evaluation_options(task: str) -> dict[str, Option]:
    """Return the options of a recipe's ``evaluation`` for a task."""
    return read_options(TASKS[task].evaluation_options)
