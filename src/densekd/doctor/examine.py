"""Table of examinations, and their run over a recipe or run folder."""

from collections.abc import Callable
from pathlib import Path

from rich.table import Table
from rich.text import Text

from densekd.doctor.appearance import examine_appearance
from densekd.doctor.capacity import examine_capacity
from densekd.doctor.case import Case, open_case
from densekd.doctor.curve import examine_curve
from densekd.doctor.finding import Finding
from densekd.doctor.labels import examine_labels
from densekd.doctor.leakage import examine_leakage
from densekd.doctor.rate import examine_rate
from densekd.doctor.schedule import examine_schedule
from densekd.doctor.sizes import examine_sizes
from densekd.doctor.teacher import examine_teacher
from densekd.doctor.terms import examine_terms
from densekd.kernels import using
from densekd.recipe import Recipe

# Name -> examination; those of QUICK run no model.
EXAMINATIONS: dict[str, Callable[[Case], list[Finding]]] = {
    "curve": examine_curve,
    "schedule": examine_schedule,
    "sizes": examine_sizes,
    "labels": examine_labels,
    "appearance": examine_appearance,
    "leakage": examine_leakage,
    "teacher": examine_teacher,
    "capacity": examine_capacity,
    "terms": examine_terms,
    # Last: its steps change the models.
    "rate": examine_rate,
}
QUICK = ("curve", "schedule", "sizes", "labels", "appearance")


def examine(recipe: Recipe, run: Path | None = None, quick: bool = False) -> list[Finding]:
    """Examine a recipe, and the run that it was trained in.

    Args:
        recipe: to examine; nothing is written.
        run: its run folder, or None.
        quick: leave out what runs models or compares images.

    Raises:
        UserError: whatever would stop the training before its first step.
    """
    return examine_case(open_case(recipe, run), quick)


def examine_case(case: Case, quick: bool) -> list[Finding]:
    """Examine live objects; a complete examination changes the models."""
    found: list[Finding] = []
    with using(case.recipe.kernels):
        for name, examination in EXAMINATIONS.items():
            if not quick or name in QUICK:
                found += examination(case)
    # What makes a training pointless comes first.
    return sorted(found, key=lambda finding: finding.severity != "error")


def findings_table(found: list[Finding]) -> Table:
    """Show findings with evidence and what to change."""
    table = Table("finding", "evidence", "what to change", title=f"{len(found)} findings", title_justify="left")
    for finding in found:
        color = "red" if finding.severity == "error" else "yellow"
        table.add_row(Text(finding.name, style=color), finding.evidence, finding.fix)
    return table
