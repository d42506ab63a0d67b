"""Command ``init``: first recipes for a data folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from densekd.cli.arguments import JsonPath
from densekd.cli.console import print_next, print_notes, print_plain, write_json
from densekd.cli.own_files import PROPOSED, Force, require_own_json
from densekd.quiet import silence_libraries

if TYPE_CHECKING:
    from densekd.init.propose import Proposal


def init(
    data: Annotated[Path, typer.Argument(help="folder of images with labels or boxes, in any known layout")],
    teacher: Annotated[
        str | None, typer.Option(help="a teacher that is there: checkpoint, run folder, URL, hf:NAME")
    ] = None,
    ms: Annotated[
        float | None, typer.Option(min=0.001, help="milliseconds an image that the student may take here")
    ] = None,
    out: Annotated[Path, typer.Option(help="folder of the recipes")] = Path(),
    task: Annotated[str | None, typer.Option(help="segmentation, detection, depth; default: what the data is")] = None,
    force: Force = False,
    json: JsonPath = None,
) -> None:
    """Look at data and write teacher.yaml and student.yaml. They fit it and this machine."""
    from densekd.init.propose import propose

    require_own_json(json, PROPOSED, force)
    silence_libraries()
    proposal = propose(data, out, teacher, ms, task, force)
    for line in _found(proposal):
        print_plain(line)
    print_notes(proposal.notes)
    for path, minutes in zip(proposal.files, proposal.minutes, strict=True):
        print_plain(f"wrote {path}: about {_time(minutes)} of training here")
    write_json(json, _to_json(proposal))
    print_next("densekd", "train", proposal.files[0])


def _to_json(proposal: "Proposal") -> dict[str, Any]:
    """Return what was found and chosen; minutes of each training on this machine."""
    found = proposal.found
    recipes = [str(path) for path in proposal.files]
    return {
        "data": found.data.model_dump(mode="json", exclude_defaults=True),
        "task": found.task,
        "classes": list(found.train.classes.names),
        "images": {"train": len(found.train), "val": len(found.val)},
        "student": proposal.choice.student.words,
        "milliseconds": proposal.choice.milliseconds,
        "recipes": dict(zip(recipes, proposal.minutes, strict=True)),
        "notes": list(proposal.notes),
    }


def _found(proposal: "Proposal") -> list[str]:
    """Say what the data is and what was chosen for it."""
    found, choice = proposal.found, proposal.choice
    height, width = found.size
    names = found.train.classes.names
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    purpose = "" if found.task == "none" else f" for {found.task}"
    lines = [
        f"data:    {found.data.root}, read as {found.data.dataset}{purpose}",
        f"         {len(found.train)} images to learn from, {len(found.val)} to validate on, {height} x {width}",
    ]
    if found.task != "depth":
        lines.append(f"classes: {len(names)}: {shown}")
    speed = "" if choice.milliseconds is None else f", {choice.milliseconds:.1f} ms an image"
    return [*lines, f"machine: {proposal.machine.name}", f"student: {choice.student.words}{speed}"]


def _time(minutes: float) -> str:
    if minutes < 1.5:
        return "a minute"
    if minutes < 120:
        return f"{minutes:.0f} minutes"
    return f"{minutes / 60:.0f} hours"
