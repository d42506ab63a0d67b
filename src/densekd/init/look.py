"""Look at a data folder: which dataset reads it, by which splits, what is in it."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low

from densekd.atomic import write_text
from densekd.builders.data import build_files
from densekd.data.classes import Classes
from densekd.data.contract import Files
from densekd.data.exports.recognize import advice
from densekd.data.files import IMAGE_SUFFIXES, find, image_size
from densekd.data.huggingface import divide, is_saved, saved_items, saved_splits
from densekd.data.layouts import EXPORTS, LAYOUTS, recognize_layouts
from densekd.data.listing import is_hidden
from densekd.data.picture import bands_beyond_colors
from densekd.errors import RecipeError, UserError
from densekd.init.bare import describe_bare, write_classes
from densekd.recipe import DataSpec
from densekd.recipe.sections import SplitSpec
from densekd.run.evaluation_data import datasets_of
from densekd.tasks import TASKS

# Names of splits, in the order in which they are tried.
_TRAIN = ("train", "train2017", "train2014", "training", "trainval")
_VAL = ("val", "val2017", "val2014", "valid", "validation", "test")
_TESTED = "the split 'test' is validated on, so that a last, honest score needs further images"
_DIVIDED = SplitSpec(val=0.2, seed=0)
# Images whose sizes are looked at, and folders below the given one that may be the data.
_SAMPLE = 40
_PLACES = 30


@dataclass(frozen=True)
class Found:
    """What a data folder is.

    Args:
        data: section of a recipe that reads it.
        task: name of ``TASKS``; ``none``: there are images alone.
        train: files to learn from.
        val: files to validate on.
        size: (height, width) of the median image.
        notes: what a person should know, a sentence each.
    """

    data: DataSpec
    task: str
    train: Files
    val: Files
    size: tuple[int, int]
    notes: tuple[str, ...] = ()


def look(root: Path, task: str | None = None, classes: Classes | None = None) -> Found:
    """Find out how a folder is read.

    Args:
        root: the folder, or one above it.
        task: what it shall be read for; None: what it is kept for.
        classes: a teacher's; with them, images without labels are data as well.

    Raises:
        UserError: no such folder, or nothing in it that a dataset reads; says what was tried.
        RecipeError: an unknown task.
    """
    if task is not None and task not in TASKS:
        raise RecipeError(f"--task {task}: there is {', '.join(TASKS)}.")
    if not root.is_dir():
        raise UserError(f"{root}: no such data folder.")
    complaints: list[UserError] = []
    for place in _places(root):
        if is_saved(place) and task in (None, "segmentation"):
            return _saved(place)
        for name in _candidates(place, task):
            try:
                return _read(place, name, task)
            except UserError as error:
                complaints.append(error)
        described = None if complaints or task not in (None, "segmentation") else describe_bare(place)
        if described is not None:
            found = _read(place, "folder", "segmentation", described.options)
            return _with_notes(found, described.notes)
    if complaints:
        raise complaints[0]
    if classes is not None and find(root, IMAGE_SUFFIXES):
        return _unlabelled(root, classes)
    raise _unknown(root, task)


def _places(root: Path) -> Iterator[Path]:
    """Yield the folder, then those in it: archives often hold one more."""
    yield root
    below = [one for one in sorted(root.iterdir()) if one.is_dir() and not is_hidden(one.name)]
    yield from below[:_PLACES]


def _candidates(place: Path, task: str | None) -> list[str]:
    """List the datasets whose layout a folder has; those of masks come before those of boxes."""
    tasks = list(TASKS) if task is None else [task]
    names: list[str] = []
    for one in ("segmentation", "detection", "depth"):
        if one not in tasks:
            continue
        names += recognize_layouts(place, datasets_of(TASKS[one]))
    if task is None:
        # COCO's and YOLO's files are kept for boxes; masks are drawn where somebody asks for them.
        late = [name for name in names if name in ("coco-masks", "yolo-masks")]
        names = [name for name in names if name not in late]
    return names


def _read(place: Path, name: str, task: str | None, options: dict[str, object] | None = None) -> Found:
    """Read a folder as a dataset, by the first splits that are there.

    Raises:
        UserError: what is wrong with the files.
    """
    spec = DataSpec(dataset=name, root=str(place), options=options or {})
    notes: list[str] = []
    train, complaint = _first(spec, _TRAIN)
    val, no_val = _first(spec, [one for one in _VAL if one != train])
    if train is None or val is None:
        # Nothing is set aside to validate on, so that a fifth is.
        divided = spec.model_copy(update={"split": _DIVIDED})
        try:
            build_files(divided, "val")
        except UserError as error:
            # Splits with names of their own, or something wrong with the files.
            raise (complaint or no_val or error) from error
        spec, train, val = divided, "train", "val"
        notes.append("no images are set aside to validate on: a fifth is, by lists that were written to 'splits'")
    elif val == "test":
        notes.append(_TESTED)
    spec = spec.model_copy(update={"train": train, "val": val})
    files, held = build_files(spec, train), build_files(spec, val)
    # As pictures such images would be refused; what reads them is in the refusal, and here at once.
    first = files.items[0].image if len(files) else None
    bands = bands_beyond_colors(first) if isinstance(first, Path) else None
    if bands is not None:
        spec = spec.model_copy(update={"bands": bands})
        files, held = build_files(spec, train), build_files(spec, val)
        notes.append(f"the images have {bands} bands, not all of them colors: all are read (data.bands)")
    found = Found(spec, files.task, files, held, _median_size(files), tuple(notes))
    return _with_notes(found, _other_readings(place, found.task, task))


def _saved(place: Path) -> Found:
    """Read a folder that ``datasets.save_to_disk`` wrote; what its labels' numbers mean is in ``classes.json``.

    Raises:
        UserError: one split that is not divided, or no columns of pictures.
    """
    splits = saved_splits(place)
    train = next((split for split in _TRAIN if split in splits), None)
    val = next((split for split in _VAL if split in splits), None)
    if train is None or val is None:
        there = f"has the splits {', '.join(splits)}" if splits else "holds one split"
        raise UserError(f"{place}: {there}; one to learn from and one to validate on are needed. {divide(place)}")
    spec = DataSpec(dataset=f"hf:{place}", root=str(place), train=train, val=val)
    notes = []
    path = place / "classes.json"
    if not path.exists():
        notes.append(write_classes(path, [item.label for item in saved_items(str(place), train)], colors=False))
    if val == "test":
        notes.append(_TESTED)
    files, held = build_files(spec, train), build_files(spec, val)
    return Found(spec, files.task, files, held, _median_size(files), tuple(notes))


def _unlabelled(root: Path, classes: Classes) -> Found:
    """Read images alone; what a student tells apart is what its teacher does, unless a file says it."""
    path = root / "classes.json"
    if not path.exists():
        content = {"names": list(classes.names), "palette": [list(color) for color in classes.palette]}
        write_text(path, json.dumps(content, indent=1) + "\n")
    spec = DataSpec(dataset="unlabelled", root=str(root))
    files = build_files(spec, spec.train)
    note = "there are no labels: the student learns from the teacher alone, and is scored by how often they agree"
    return Found(spec, "none", files, build_files(spec, spec.val), _median_size(files), (note,))


def _first(spec: DataSpec, splits: Sequence[str]) -> tuple[str | None, UserError | None]:
    """Return the first split that can be read, or None and what the first one lacks."""
    complaint = None
    for split in splits:
        try:
            build_files(spec, split)
        except UserError as error:
            complaint = complaint or error
            continue
        return split, None
    return None, complaint


def _other_readings(place: Path, task: str, asked: str | None) -> list[str]:
    """Say what else the same files can be read for."""
    if asked is not None:
        return []
    notes = []
    for other in TASKS:
        names = recognize_layouts(place, datasets_of(TASKS[other]))
        if other != task and names:
            notes.append(f"--task {other} reads the same folder as {names[0]}")
    return notes


def _median_size(files: Files) -> tuple[int, int]:
    """Return the median height and width of a sample of images."""
    step = max(1, len(files) // _SAMPLE)
    sizes = [image_size(item.image) for item in files.items[::step][:_SAMPLE]]
    return median_low([height for height, _ in sizes]), median_low([width for _, width in sizes])


def _with_notes(found: Found, notes: Sequence[str]) -> Found:
    return Found(found.data, found.task, found.train, found.val, found.size, (*found.notes, *notes))


def _unknown(root: Path, task: str | None) -> UserError:
    """Return the error for a folder of no known layout: what was looked for, and what can be done."""
    said = advice(root)
    if said is not None:
        return UserError(f"{root}: no way to read it was found. {said}")
    names = ", ".join(sorted({*LAYOUTS, *EXPORTS}))
    wanted = "" if task is None else f" for {task}"
    return UserError(
        f"{root}: no known layout of data{wanted}, here and one folder below; tried {names}.\n"
        "Put images and label PNGs of the same names side by side, images/train/a.jpg and labels/train/a.png, the same "
        "for val; or see docs/data-layouts.md for what else is read. Images alone: --teacher, to learn from it alone."
    )
