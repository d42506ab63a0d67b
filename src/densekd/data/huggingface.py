"""Datasets of the Hugging Face hub, or saved by its library, with a column of images and one of labels."""

from pathlib import Path
from typing import Any, NamedTuple

from densekd.data.files import Item, SegmentationFiles
from densekd.data.folder import read_classes
from densekd.errors import UserError
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
        return Path(cell["path"]).read_bytes() if content is None else content

    @property
    def suffix(self) -> str:
        """The suffix of the file, as far as the table knows it."""
        return Path(self.table[self.row][self.column]["path"] or ".png").suffix

    def __str__(self) -> str:
        """Return dataset, row and column."""
        return f"{self.name}[{self.row}].{self.column}"


def huggingface(name: str, root: Path | str, split: str) -> SegmentationFiles:
    """Find the rows of one split; pictures are decoded when they are read, labels are class numbers.

    Args:
        name: ``owner/name`` on the hub, or a folder that ``save_to_disk`` wrote.
        root: folder with ``classes.json``, which says what the numbers mean (see :func:`densekd.data.folder.folder`).
        split: of the dataset.

    Raises:
        UserError: the library is missing, the dataset cannot be had, has no such split or columns, or no classes.json.
    """
    library = optional_import("datasets", "hf-data")
    classes = read_classes(Path(root) / "classes.json")
    try:
        folder = Path(name).expanduser()
        table = library.load_from_disk(str(folder)) if folder.is_dir() else library.load_dataset(name, split=split)
        table = table[split] if isinstance(table, dict) else table
    except Exception as error:  # the library has many ways to fail
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"data: '{split}' of hf:{name} could not be had ({type(error).__name__}: {reason}).") from error
    pictures = [column for column, kind in table.features.items() if isinstance(kind, library.Image)]
    image = next((column for column in _IMAGES if column in pictures), None)
    label = next((column for column in _LABELS if column in pictures), None)
    if image is None or label is None:
        raise UserError(
            f"data: hf:{name} has the columns {', '.join(table.column_names)}; a picture is looked for in "
            f"{', '.join(_IMAGES)}, its label in {', '.join(_LABELS)}. Rename them with the library's rename_column."
        )
    for column in (image, label):
        table = table.cast_column(column, library.Image(decode=False))
    items = (Item(f"{k:08}", Cell(table, k, image, name), Cell(table, k, label, name)) for k in range(len(table)))
    return SegmentationFiles(classes, tuple(items))
