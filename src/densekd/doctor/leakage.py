"""Leakage between training and validation images."""

from densekd.data.leakage import find_leakage
from densekd.doctor.case import Case
from densekd.doctor.finding import Finding


def examine_leakage(case: Case) -> list[Finding]:
    """Look for near-duplicates, neighboring frames and shared sequences in both splits."""
    found = find_leakage(case.built.training.files.items, case.built.validation.items)
    if not found.sentences:
        return []
    numbers = {"duplicates": float(found.duplicates), "neighbors": float(found.neighbors)}
    fix = "keep whole drives, patients or places apart by data.leave_out or data.split.groups"
    return [Finding("splits-leak", "warning", "; ".join(found.sentences), fix, numbers)]
