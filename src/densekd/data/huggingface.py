"""Datasets of the Hugging Face hub, or saved by its library, with a column of images and one of labels."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from densekd.data.classes import read_classes
from densekd.data.files import SegmentationFiles
from densekd.data.found import Item
from densekd.errors import UserError
from densekd.parsers import load_json
from densekd.registry import optional_import

_IMAGES = ("image", "img", "pixel_values")
_LABELS = ("label", "labels", "annotation", "mask", "segmentation", "semantic_segmentation", "segmentation_mask")


class Cell(NamedTuple):
    """An undecoded picture in a table."""

    table: Any
    row: int
    column: str
    name: str

    def read_bytes(self) -> bytes:
        """Return the file's bytes, from the table or from the path that it names."""
        cell = self.table[self.row][self.column]
        content: bytes | None = cell["bytes"]
        if content is None:
            return Path(cell["path"]).read_bytes()
        return content

    @property
    def suffix(self) -> str:
        """The suffix of the file; of a picture that never was one, the library's own PNG."""
        return Path(self.table[self.row][self.column]["path"] or "made.png").suffix

    def __str__(self) -> str:
        """Return dataset, row and column."""
        return f"{self.name}[{self.row}].{self.column}"


def huggingface(name: str, root: Path | str, split: str) -> SegmentationFiles:
    """Hugging Face dataset for segmentation, ``hf:owner/name``: a column of images and one of labels.

    Pictures are decoded when they are read; labels are class numbers.

    Args:
        name: ``owner/name`` on the hub, or a folder that ``save_to_disk`` wrote.
        root: folder with ``classes.json``, which says what the numbers mean (see
            :func:`densekd.data.folder.folder`).
        split: of the dataset.

    Raises:
        UserError: the library is missing, the dataset cannot be had, has no such split or columns,
            or no classes.json.
    """
    classes = read_classes(Path(root) / "classes.json")
    return SegmentationFiles(classes, tuple(saved_items(name, split)))


def is_saved(folder: Path) -> bool:
    """Return True for a folder that ``save_to_disk`` of the library ``datasets`` wrote."""
    return any((folder / name).is_file() for name in ("dataset_dict.json", "state.json"))


def saved_splits(folder: Path) -> list[str]:
    """List the splits in a folder that ``save_to_disk`` wrote; none where it holds one that has no name."""
    path = folder / "dataset_dict.json"
    if not path.is_file():
        return []
    content = load_json(path, small=True)
    splits = content.get("splits") if isinstance(content, dict) else None
    if not isinstance(splits, list):
        raise UserError(f"{path}: has no list of splits; save the dataset again.")
    return [str(split) for split in splits]


def saved_items(name: str, split: str) -> list[Item]:
    """List the images and labels of a dataset, undecoded.

    Args:
        name: ``owner/name`` on the hub, or a folder that ``save_to_disk`` wrote.
        split: of the dataset.

    Raises:
        UserError: the library is missing, the dataset cannot be had, or has no such split or columns.
    """
    library = optional_import("datasets", "hf-data")
    table = _load(library, name, split)
    # A dataset may hold more pictures than these, e.g. depth: the names decide.
    pictures = [column for column, kind in table.features.items() if isinstance(kind, library.Image)]
    image = _first_column(_IMAGES, pictures)
    label = _first_column(_LABELS, pictures)
    if image is None or label is None:
        raise UserError(
            f"data: hf:{name} has the columns {', '.join(table.column_names)}; a picture is looked for in "
            f"{', '.join(_IMAGES)}, its label in {', '.join(_LABELS)}. Rename them with the library's rename_column."
        )
    # The library would decode every picture it is asked for; only the bytes are wanted.
    for column in (image, label):
        table = table.cast_column(column, library.Image(decode=False))
    items = []
    for row in range(len(table)):
        items.append(Item(f"{row:08}", Cell(table, row, image, name), Cell(table, row, label, name)))
    return items


def _load(library: Any, name: str, split: str) -> Any:
    """Load one split from a folder or the hub."""
    try:
        folder = Path(name).expanduser()
        if folder.is_dir():
            # A folder holds one split, or all in one dictionary.
            saved = library.load_from_disk(str(folder))
            if isinstance(saved, dict):
                return saved[split]
            if split not in ("train", "all", str(saved.split)):
                raise UserError(f"data: {folder} holds one split, and no '{split}'. {divide(folder)}")
            return saved
        return library.load_dataset(name, split=split)
    except UserError:
        raise
    except Exception as error:  # the library has many ways to fail
        lines = str(error).strip().splitlines()
        reason = lines[0] if lines else type(error).__name__
        raise UserError(f"data: '{split}' of hf:{name} could not be had ({type(error).__name__}: {reason}).") from error


def divide(folder: Path) -> str:
    """Say how a saved dataset of one split is divided."""
    return (
        "Divide it once, in Python: "
        f"datasets.load_from_disk('{folder}').train_test_split(0.2, seed=0).save_to_disk('{folder}-divided'); its "
        "splits are 'train' and 'test' (data.val: test)."
    )


def _first_column(names: Sequence[str], columns: Collection[str]) -> str | None:
    for name in names:
        if name in columns:
            return name
    return None
