"""Data check: every image and label is read, sizes and classes counted, problems listed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from rich.table import Table
from rich.text import Text

from densekd.builders.data import build_files
from densekd.builders.task import data_task
from densekd.data.check import DataReport, Problem, SplitFacts, SplitReport, look_at_all, summarize
from densekd.data.class_order import notes_of
from densekd.data.leakage import find_leakage
from densekd.errors import RecipeError, UserError
from densekd.recipe import Recipe
from densekd.run.checks import judge, stops, validation_on_training
from densekd.terminal import track

# What a table shows; a JSON file has all of it.
_PROBLEMS = 30
_SIZES = 4


def check_data(recipe: Recipe, workers: int) -> DataReport:
    """Read every file of both splits, with progress; nothing is trained.

    Args:
        recipe: its data, and the task that reads them.
        workers: reading processes.

    Raises:
        RecipeError: an unknown dataset.
    """
    splits: list[SplitFacts] = []
    # What is true of a whole split, and no file's fault.
    of_splits: list[Problem] = []
    same = validation_on_training(recipe.data)
    if same is not None:
        of_splits.append(Problem("error", recipe.data.val, "", same))
    # A recipe may train and validate on one split; it is read once.
    for split in dict.fromkeys((recipe.data.train, recipe.data.val)):
        try:
            files = build_files(recipe.data, split)
        except RecipeError:
            raise
        except UserError as error:
            # A split that is not there is one problem of the data among others.
            of_splits.append(Problem("error", split, recipe.data.root, str(error)))
            continue
        for note in notes_of(files):
            of_splits.append(Problem("warning", split, "", note))
        task = data_task(recipe, files)
        facts = look_at_all(task.look, files, workers)
        shown = track(facts, f"reading {split}", total=len(files))
        read = SplitFacts(split, files, task.counted(files), list(shown))
        splits.append(read)
        of_splits += _findings(recipe, task, read)
    return summarize(splits, [*of_splits, *_shared(splits)])


def _shared(splits: Sequence[SplitFacts]) -> list[Problem]:
    """Say what training and validation share: near-duplicates, neighboring frames, sequences."""
    if len(splits) < 2:
        return []
    # What cannot be read, and copies of one file, are problems of their own already.
    learnt = {fact.digest for fact in splits[0].facts}
    pairs = zip(splits[1].files.items, splits[1].facts, strict=True)
    held = [item for item, fact in pairs if fact.counts and fact.digest not in learnt]
    read = zip(splits[0].files.items, splits[0].facts, strict=True)
    found = find_leakage([item for item, fact in read if fact.counts], held)
    return [Problem("warning", splits[1].split, "", sentence) for sentence in found.sentences]


def _findings(recipe: Recipe, task: object, read: SplitFacts) -> list[Problem]:
    """Judge a split as the checks before a training do, by all images that can be read."""
    files: Any = read.files
    readable = [k for k, fact in enumerate(read.facts) if fact.counts]
    if not readable:
        return []
    part = replace(files, items=tuple(files.items[k] for k in readable))
    found: list[Problem] = []
    learns = read.split == recipe.data.train and recipe.task.kind != "none"
    for finding in judge(task, part, [read.facts[k] for k in readable]):
        level: Literal["error", "warning"] = "warning"
        if learns and stops(finding, recipe.data):
            level = "error"
        found.append(Problem(level, read.split, "", finding.what))
    return found


def data_table(report: DataReport) -> Table:
    """Show sizes, classes and problems; of many problems the first of each kind of message."""
    table = Table("split", "what", "found", title="data", title_justify="left")
    for part in report.splits:
        table.add_row(part.split, "images", f"{part.images}: {_sizes(part.sizes)}")
        for line in _pictures(part):
            table.add_row("", "pictures", line)
        for kind, counts in part.counts.items():
            table.add_row("", kind.replace("_", " "), ", ".join(_amounts(kind, counts)))
        table.add_section()
    for problem in report.problems[:_PROBLEMS]:
        color = "red" if problem.level == "error" else "yellow"
        found = f"{problem.what} {problem.file}".strip()
        table.add_row(problem.split, Text(problem.level, style=color), found)
    if len(report.problems) > _PROBLEMS:
        more = len(report.problems) - _PROBLEMS
        table.add_row("", "", f"and {more} more; --json FILE has them all")
    return table


def _sizes(sizes: Mapping[tuple[int, int], int]) -> str:
    """Describe the most frequent sizes, height x width."""
    described = [f"{count} of {height} x {width}" for (height, width), count in sizes.items()]
    shown = ", ".join(described[:_SIZES])
    if len(described) > _SIZES:
        shown += f", and {len(described) - _SIZES} more sizes"
    return shown


def _pictures(part: SplitReport) -> list[str]:
    """Describe the kinds of pictures with the range of their values, and their EXIF orientations."""
    lines: list[str] = []
    for kind, found in part.pictures.items():
        line = f"{found.images} {kind}"
        if found.values is not None:
            line += f", values {found.values[0]:g} to {found.values[1]:g}"
        lines.append(line)
    turned = [f"{count} of {number}" for number, count in part.orientations.items() if number != 1]
    if turned:
        lines.append(f"EXIF orientation: {', '.join(turned)}")
    return lines


def _amounts(kind: str, counts: Mapping[str, int]) -> list[str]:
    """Describe how much there is of each thing; of pixels, the shares."""
    if kind != "pixels":
        return [f"{count} {name}" for name, count in counts.items()]
    total = max(1, sum(counts.values()))
    return [f"{name} {100 * count / total:.2f} %" for name, count in counts.items()]
