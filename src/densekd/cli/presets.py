"""Presets as tables: ``densekd recipes``, and the page ``docs/presets.md``."""

from collections.abc import Sequence
from fnmatch import fnmatch

from rich.table import Table

from densekd.errors import UserError, suggest
from densekd.presets import PRESETS, Preset
from densekd.presets.originals import ABSENT, FACTS, Fact

_TITLES = {
    "torchdistiller": "TorchDistiller",
    "mmrazor": "MMRazor",
    "mmsegmentation-distiller": "mmsegmentation-distiller",
    "mmdetection-distiller": "mmdetection-distiller",
    "cirkd": "CIRKD, version 1",
    "cirkdv2": "CIRKD, version 2",
    "hwd": "HWD",
    "segdistill": "SegDistill",
    "fgd": "FGD",
    "ld": "LD",
}
_HEAD = """\
# The experiments of the source systems

Every experiment is a recipe with a name: `densekd recipes` lists them, `densekd train NAME` trains one,
`densekd recipes NAME --write` prints it as a file, `densekd fetch NAME` brings teacher and backbone where they can be
downloaded. This page is generated: `densekd docs presets > docs/presets.md`. A test compares every number of every
recipe with the tables below, which are typed from the originals' files.

What no recipe copies; [decisions.md](decisions.md) has the reasons:

- random factors are drawn evenly from the range, not from steps of 0.1 (TorchDistiller, CIRKD, HWD);
- the teacher is in evaluation mode throughout; MMRazor leaves its dropout on and SegDistill lets its statistics drift;
- mmsegmentation scales a picture once, to a random size around (2048, 512); here it is brought to a shorter side of
  512, and then scaled;
- images without boxes are learned as background; mmdetection leaves them out;
- FCOS, RepPoints, Mask R-CNN and FCOS3D are no models here, so MMRazor's experiments with them have no recipe.
"""


def find_presets(pattern: str, one: bool = False) -> list[Preset]:
    """Return the presets that a pattern means.

    Args:
        pattern: a name, a part of names, or one with ``*``; empty for all.
        one: it has to mean a single one.

    Raises:
        UserError: no such preset, or several where one is wanted.
    """
    if pattern in PRESETS:
        return [PRESETS[pattern]]
    wanted = pattern if "*" in pattern else f"*{pattern}*"
    found = [preset for name, preset in PRESETS.items() if fnmatch(name, wanted)]
    if not found:
        raise UserError(f"No recipe is called '{pattern}'. {suggest(pattern, PRESETS)}")
    if one and len(found) > 1:
        names = ", ".join(preset.name for preset in found[:5])
        raise UserError(f"'{pattern}' means {len(found)} recipes: {names}, ...; name one.")
    return found


def preset_table(presets: Sequence[Preset]) -> Table:
    """Return a table of presets for the terminal."""
    table = Table(box=None)
    # A name is there to be copied: it is never cut.
    table.add_column("name", no_wrap=True, overflow="ignore")
    for column in ("student", "teacher", "data", "score"):
        table.add_column(column, overflow="fold")
    for preset in presets:
        teacher = preset.teacher or "alone"
        table.add_row(preset.name, preset.student, teacher, preset.data, preset.published)
    return table


def preset_reference() -> str:
    """Return the page of all systems as Markdown."""
    sections = [_HEAD]
    for system, title in _TITLES.items():
        presets = [preset for preset in PRESETS.values() if preset.system == system]
        sections.append(_section(title, presets, FACTS[system]))
    return "\n".join(sections)


def _section(title: str, presets: Sequence[Preset], facts: Sequence[Fact]) -> str:
    lines = [f"## {title}", ""]
    lines += _experiments(presets)
    # Remarks that several recipes share are made once.
    for remark in dict.fromkeys(preset.differs for preset in presets if preset.differs):
        lines += ["", f"{remark[0].upper()}{remark[1:]}."]
    lines += ["", "| parameter | original | recipe | ours | for | source, and why |", "|---|---|---|---|---|---|"]
    rows = [_fact_row(fact) for fact in facts if any(fact.holds_for(preset) for preset in presets)]
    lines += dict.fromkeys(rows)
    return "\n".join([*lines, ""])


def _experiments(presets: Sequence[Preset]) -> list[str]:
    """List experiments; of methods on a grid of students and data, one line for each method."""
    lines = ["| recipe | student | teacher | data | original | published |", "|---|---|---|---|---|---|"]
    for preset in presets:
        # HWD's grid is students x data x trainers: its Cityscapes rows stand for the others.
        if preset.system == "hwd" and preset.data != "citys":
            continue
        teacher = preset.teacher or "none"
        cells = (preset.student, teacher, preset.data, f"`{preset.source}`", preset.published)
        lines.append(f"| `{preset.name}` | {' | '.join(cells)} |")
    if presets[0].system == "hwd":
        data = dict.fromkeys(preset.data for preset in presets)
        names = ", ".join(f"`{name}`" for name in data if name != "citys")
        lines += ["", f"The same on {names}: `hwd-STUDENT-DATA-METHOD`, for instance `hwd-psp-r18-voc-cwd`."]
    return lines


def _fact_row(fact: Fact) -> str:
    ours = "not set" if fact.ours is ABSENT else f"`{fact.ours}`"
    holds = "; ".join(f"{name}: {', '.join(values)}" for name, values in fact.only.items()) or "all"
    why = f"{fact.source}; {fact.why}" if fact.why else fact.source
    return f"| {fact.parameter} | {fact.original} | `{fact.key}` | {ours} | {holds} | {why} |"
