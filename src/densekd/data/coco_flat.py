"""COCO's boxes in flat arrays, kept in the user's cache: processes share them, and records become no objects.

A file that is in any way unusual is left to :mod:`densekd.data.coco_json`, which reads record by record
and says what is wrong.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import safe_open

from densekd.data.annotations import Annotations
from densekd.data.coco_json import LARGEST, ROBOFLOW, by_id, without_group
from densekd.data.detection import DetectionItem
from densekd.data.found import MadeWhenAsked
from densekd.errors import UserError
from densekd.parsers import read_records
from densekd.seal.tensors import damage_of_tensors, save_tensors

_FORMAT = 1
_FIELDS = {
    "images": ("id", "file_name", "height", "width"),
    "annotations": ("id", "image_id", "category_id", "bbox", "area", "iscrowd"),
    "categories": ("id", "name", "supercategory"),
}
# Between file names, which hold no line ends here.
_LINE = "\n"

# Columns of the arrays, by name; see :class:`FlatItems`.
Columns = Mapping[str, np.ndarray]


class FlatItems(MadeWhenAsked[DetectionItem]):
    """Images with their boxes, each made of flat arrays when it is asked for.

    Args:
        folder: of the images.
        columns: of N images, in the order of their numbers, and A boxes, in the order of their images:
            ``numbers`` int64 ``[N]``, ``sizes`` int64 ``[N, 2]``, ``names`` uint8 (a line each),
            ``ends`` int64 ``[N]`` of the lines, ``starts`` int64 ``[N + 1]`` of each image's boxes;
            ``boxes``, ``labels``, ``crowd`` and ``area`` as in :class:`Annotations`.
    """

    def __init__(self, folder: Path, columns: Columns) -> None:
        self.folder = folder
        self.columns = columns

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.columns["numbers"])

    def make(self, index: int) -> DetectionItem:
        """Make an image with its boxes."""
        table = self.columns
        begin = int(table["ends"][index - 1]) + 1 if index else 0
        name = table["names"][begin : int(table["ends"][index])].tobytes().decode()
        boxes = slice(int(table["starts"][index]), int(table["starts"][index + 1]))
        truth = Annotations(*(table[column][boxes] for column in Annotations._fields))
        height, width = map(int, table["sizes"][index])
        stem = Path(name).with_suffix("").as_posix()
        return DetectionItem(stem, self.folder / name, int(table["numbers"][index]), (height, width), truth)


class FlatCoco(NamedTuple):
    """A file of annotations: its path, names and ids of its categories in their order, and its images."""

    path: Path
    names: tuple[str, ...]
    categories: tuple[int, ...]
    items: FlatItems


def flat_coco(path: Path, folder: Path, pooled: bool) -> FlatCoco | None:
    """Read a file of boxes into flat arrays, or map those of an earlier reading into memory.

    Args:
        path: of the file.
        folder: with all of its images.
        pooled: the file holds the images of several splits.

    Returns:
        What :func:`densekd.data.coco_json.read_coco` reads; None where it has to, because images lie
        elsewhere or a record is not as COCO writes it.
    """
    if pooled:
        return None
    try:
        kept = _kept_in(path)
        # Another process may have kept it meanwhile; both write the same.
        found = _load(kept) or _parse(path, kept)
        if found is None or not _all_there(folder, found[1]):
            return None
    except OSError:
        return None
    categories, columns = found
    return FlatCoco(path, tuple(categories.values()), tuple(categories), FlatItems(folder, columns))


def _kept_in(path: Path) -> Path:
    """Return where the arrays of a file are kept: by its path, size and times, of which a copy keeps one at most."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    facts = path.stat()
    key = json.dumps([_FORMAT, str(path.resolve()), facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns])
    digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:24]
    return Path(home) / "densekd" / "coco" / f"{digest}.safetensors"


def _load(kept: Path) -> tuple[dict[int, str], Columns] | None:
    """Map arrays into memory, which all processes of a machine share; None where they are missing or damaged."""
    if not kept.is_file() or damage_of_tensors(kept) is not None:
        return None
    with suppress(OSError, ValueError, KeyError), safe_open(kept, "pt") as file:
        categories = {int(number): str(name) for number, name in json.loads(file.metadata()["categories"])}
        return categories, {name: file.get_tensor(name).numpy() for name in file.keys()}  # noqa: SIM118
    return None


def _parse(path: Path, kept: Path) -> tuple[dict[int, str], Columns] | None:
    """Read a file and keep its arrays; None where a record is unusual."""
    try:
        categories, columns = _read(path)
    except (UserError, KeyError, TypeError, ValueError, OverflowError):
        return None
    # Without a folder to write to the next process reads the file again.
    with suppress(OSError, RuntimeError, UserError):
        tensors = {name: torch.from_numpy(column) for name, column in columns.items()}
        save_tensors(tensors, kept, {"categories": json.dumps(list(categories.items()))})
        return _load(kept) or (categories, columns)
    return categories, columns


def _read(path: Path) -> tuple[dict[int, str], Columns]:
    """Turn records into arrays, as they come: objects of all records together would take gigabytes.

    Raises:
        OSError, UserError, KeyError, TypeError, ValueError, OverflowError: a file or record that is not
            as COCO writes it.
    """
    names: list[str] = []
    images: list[Columns] = []
    boxes = [_boxes([])]
    content: dict[str, Any] = {}
    for name, records in read_records(path, _FIELDS):
        if name == "images":
            names += [one["file_name"] for one in records]
            images.append(_images(records))
        elif name == "annotations":
            boxes.append(_boxes(records))
        else:
            content.setdefault(name, []).extend(records)
    found, all_boxes = _joined(images), _joined(boxes)
    if path.name == ROBOFLOW:
        content["annotations"] = [{"category_id": number} for number in np.unique(all_boxes["category"]).tolist()]
        without_group(content)
    categories = dict(sorted(by_id(path, content, "categories", lambda one: str(one["name"])).items()))
    return categories, _columns(names, found, all_boxes, np.array(tuple(categories), np.int64))


def _images(records: Sequence[Mapping[str, Any]]) -> Columns:
    sizes = [_whole(one[side] for one in records) for side in ("height", "width")]
    return {"numbers": _whole(one["id"] for one in records), "sizes": np.stack(sizes, 1)}


def _boxes(records: Sequence[Mapping[str, Any]]) -> Columns:
    corners, area = _geometry(records)
    return {
        "number": _whole(one["id"] for one in records),
        "image": _whole(one["image_id"] for one in records),
        "category": _whole(one["category_id"] for one in records),
        "boxes": corners.astype(np.float32),
        "crowd": _crowds(records),
        "area": area,
    }


def _joined(parts: list[Columns]) -> Columns:
    """Join the columns of several pieces, which are no longer needed; without any a ValueError is raised."""
    if not parts:
        raise ValueError
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    parts.clear()
    return joined


def _columns(names: Sequence[str], images: Columns, boxes: Columns, categories: np.ndarray) -> Columns:
    """Bring images into the order of their numbers, and boxes into that of their images.

    Args:
        names: of the images' files.
        images: ``numbers`` and ``sizes``, see :class:`FlatItems`.
        boxes: ``number``, ``image``, ``category``, ``boxes``, ``crowd`` and ``area`` of each.
        categories: their ids, sorted.

    Raises:
        TypeError, ValueError: what is not as COCO writes it.
    """
    order = np.argsort(images["numbers"])
    numbers, sizes = images["numbers"][order], images["sizes"][order]
    names = [names[k] for k in order]
    text = _LINE.join(names)
    # Images in folders of the folder, and names that are none, are read one by one.
    if not names or not len(categories) or text.count(_LINE) != len(names) - 1 or any(sign in text for sign in "/\\\0"):
        raise ValueError
    encoded = [len(name.encode()) + 1 for name in names]
    # Each box has a number of its own, and belongs to an image and to a category.
    of_image = _places(boxes["image"], numbers)
    labels = _places(boxes["category"], categories)
    if (np.diff(np.sort(boxes["number"])) == 0).any():
        raise ValueError
    by_image = np.argsort(of_image, kind="stable")
    if (sizes < 1).any():
        raise ValueError
    return {
        "numbers": numbers,
        "sizes": np.ascontiguousarray(sizes),
        "names": np.frombuffer(bytearray(text.encode()), np.uint8),
        "ends": np.cumsum(encoded) - 1,
        "starts": np.searchsorted(of_image[by_image], np.arange(len(names) + 1)),
        "boxes": boxes["boxes"][by_image],
        "labels": labels[by_image],
        "crowd": boxes["crowd"][by_image],
        "area": boxes["area"][by_image],
    }


def _geometry(boxes: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Return corners float64 ``[A, 4]`` and areas ``[A]``, which are those of the masks where the file has them."""
    sides = [one["bbox"] for one in boxes]
    _require_types(sides, list)
    _require_types(chain.from_iterable(sides), int, float)
    xywh = np.array(sides, np.float64).reshape(len(sides), 4)
    given = [one.get("area") for one in boxes]
    _require_types(given, int, float, type(None))
    area = np.array(given, np.float64) if None not in given else xywh[:, 2] * xywh[:, 3]
    if None in given:
        written = [k for k, value in enumerate(given) if value is not None]
        area[written] = [given[k] for k in written]
    # This is false for NaN as well.
    if not (np.abs(xywh) <= LARGEST).all():
        raise ValueError
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1), area


def _crowds(boxes: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Return which boxes are crowds, bool ``[A]``."""
    values = [one.get("iscrowd") for one in boxes]
    _require_types(values, int, bool, type(None))
    if not set(values) <= {0, 1, None}:
        raise ValueError
    return np.array(values, np.bool_)


def _whole(values: Iterable[Any]) -> np.ndarray:
    """Return whole numbers as int64; anything else raises."""
    numbers = list(values)
    _require_types(numbers, int)
    return np.array(numbers, np.int64)


def _require_types(values: Iterable[Any], *types: type) -> None:
    if not set(map(type, values)) <= set(types):
        raise TypeError


def _places(wanted: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return where each number is among sorted ones, which may not have doubles."""
    if (np.diff(known) <= 0).any():
        raise ValueError
    places = np.searchsorted(known, wanted)
    if len(wanted) and (places.max() == len(known) or (known[places] != wanted).any()):
        raise ValueError
    return places


def _all_there(folder: Path, columns: Columns) -> bool:
    """Tell whether every image is a file of the folder, by one listing of it."""
    with os.scandir(folder) as entries:
        there = {entry.name for entry in entries if entry.is_file()}
    return there.issuperset(columns["names"].tobytes().decode().split(_LINE))
