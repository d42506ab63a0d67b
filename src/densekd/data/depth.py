"""Images with depth maps in one plain layout, and the quickstart's synthetic scenes in it."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from PIL import Image

from densekd.atomic import atomic, write_text
from densekd.data.classes import Classes
from densekd.data.demo.dataset import scene_rng
from densekd.data.demo.scene import draw_scene
from densekd.data.files import IMAGE_SUFFIXES, content_of, find, pair_by_stem, read_image
from densekd.data.found import Item, Source
from densekd.data.listing import is_hidden
from densekd.data.picture import RGB, UNREADABLE, Bands, as_shown, opened
from densekd.errors import UserError
from densekd.parsers import load_json

DEPTH_SUFFIXES = (".png", ".npy")
# One output channel; its color stands for a middle depth.
_OUTPUT = Classes(("depth",), ((180, 54, 122),))
_INDEX = "depth.json"
_EXAMPLE = '{"scale": 0.001, "unit": "m"}'

# The synthetic set: how many scenes, their height and width, and the meters of one step of 16 bits.
DEMO_IMAGES = {"train": 240, "val": 60}
DEMO_SIZE = (96, 128)
_DEMO_SCALE = 0.01


@dataclass(frozen=True)
class DepthFiles:
    """The images of one split with their depth maps.

    Args:
        items: sorted by stem; ``label`` is the file of the depth map.
        scale: what one step of a file's numbers is, in ``unit``.
        unit: of the depths.
        labels: ``absent`` where there are images alone.
        bands: that are read of the images, see :func:`densekd.data.picture.decode_bands`; 3: RGB.
    """

    task: ClassVar[str] = "depth"
    holds: ClassVar[str] = "depth maps"
    categories: ClassVar[tuple[int, ...]] = ()
    classes: ClassVar[Classes] = _OUTPUT

    items: Sequence[Item]
    scale: float = 1.0
    unit: str = "m"
    labels: Literal["present", "absent"] = "present"
    bands: Bands = RGB

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.items)

    def image(self, index: int) -> np.ndarray:
        """Decode an image: uint8 RGB ``[H, W, 3]``.

        Raises:
            UserError: a damaged or unreadable file.
        """
        return read_image(self.items[index].image, bands=self.bands)

    def depth(self, index: int) -> np.ndarray:
        """Decode a depth map: float32 ``[H, W]`` in ``unit``, 0 where nothing was measured.

        Raises:
            UserError: a damaged file, or one that is no map of depths.
        """
        values = read_depth(self.items[index].label) * np.float32(self.scale)
        # Neither a depth that is not finite nor one at or behind the camera is a measurement.
        measured = np.isfinite(values) & (values > 0)
        return np.where(measured, values, np.float32(0))

    def pair(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Decode image and depth map; without depth maps, one in which nothing was measured.

        Raises:
            UserError: as above, or when their sizes differ.
        """
        if self.labels == "absent":
            image = self.image(index)
            return image, np.zeros(image.shape[:2], np.float32)
        depth = self.depth(index)
        item = self.items[index]
        image = read_image(item.image, depth.shape, self.bands)
        if image.shape[:2] != depth.shape:
            raise UserError(
                f"{item.image} is {image.shape[1]} x {image.shape[0]} pixels, but its depth map "
                f"{item.label} is {depth.shape[1]} x {depth.shape[0]}. They must be the same size."
            )
        return image, depth

    def join(self, others: "Sequence[DepthFiles]") -> "DepthFiles":
        """Return these images and those of other splits of the same dataset.

        Raises:
            UserError: splits that do not share scale and unit.
        """
        items = list(self.items)
        for other in others:
            if (other.scale, other.unit, other.labels) != (self.scale, self.unit, self.labels):
                raise UserError("the splits write their depths differently and cannot be joined.")
            items += other.items
        return replace(self, items=tuple(items))


def depth(root: Path, split: str) -> DepthFiles:
    """Folder of images and depth maps: 16-bit PNG or .npy, with depth.json.

    Layout: ``images/<split>/<stem>.jpg|png|...``, ``depth/<split>/<stem>.png`` (one channel, 16
    bits) or ``.npy`` (``[H, W]``, any numbers), and ``depth.json`` with ``scale``, what one step of
    these numbers is, and ``unit``. 0 and what is not finite was not measured. Without a folder
    ``depth`` the images have no labels, so that a student can learn from a teacher alone.

    Args:
        root: the folder that holds them.
        split: the name of a sub-folder of ``images`` and ``depth``.

    Raises:
        UserError: a missing or empty folder, files that do not pair, a wrong depth.json.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such data folder.")
    images = root / "images"
    if images.is_dir() and not (images / split).is_dir():
        splits = sorted(path.name for path in images.iterdir() if path.is_dir() and not is_hidden(path.name))
        raise UserError(f"{images}: no split '{split}'; there is {', '.join(splits) or 'none'}.")
    # A missing folder is meant; a missing split in it would be a mistake, and is an error below.
    if not (root / "depth").is_dir():
        found = find(images / split, IMAGE_SUFFIXES)
        if not found:
            raise UserError(f"{images / split}: no images ({', '.join(IMAGE_SUFFIXES)}).")
        items = tuple(Item(stem, path, path) for stem, path in found.items())
        return DepthFiles(items, labels="absent")
    scale, unit = _read_index(root / _INDEX)
    pairs = pair_by_stem(images / split, root / "depth" / split, label_endings=DEPTH_SUFFIXES)
    return DepthFiles(pairs, scale, unit)


def demo_depth(root: Path, split: str) -> DepthFiles:
    """Demo with depth: synthetic street scenes and the depth of each pixel, made on first use.

    240 scenes to learn from and 60 to validate on, of 96 x 128 pixels, in the layout of
    :func:`depth`.

    Args:
        root: the folder of the set; made if missing.
        split: ``train`` or ``val``.

    Raises:
        UserError: the folder holds something else.
    """
    if not (root / _INDEX).is_file():
        if root.is_dir() and any(path.name not in ("images", "depth") for path in root.iterdir()):
            wanted = "give the synthetic scenes a folder of their own"
            raise UserError(f"{root}: holds something else; {wanted}.")
        for name, count in DEMO_IMAGES.items():
            _write_scenes(root, name, count)
        # Last, so that a set without it is unfinished and is made again.
        write_text(root / _INDEX, json.dumps({"scale": _DEMO_SCALE, "unit": "m"}) + "\n")
    return depth(root, split)


def read_depth(source: Source) -> np.ndarray:
    """Decode a depth map as it is written: float32 ``[H, W]``.

    Raises:
        UserError: a missing or damaged file, several channels, or no numbers.
    """
    try:
        content = content_of(source)
        if source.suffix.lower() == ".npy":
            values = np.load(io.BytesIO(content), allow_pickle=False)
        else:
            with opened(content) as picture:
                values = np.array(as_shown(picture))
                if picture.mode != "L" and not picture.mode.startswith("I"):
                    raise ValueError(f"its mode is {picture.mode}, not one channel of 16 bits")
        if values.ndim != 2 or not np.issubdtype(values.dtype, np.number):
            raise ValueError(f"it holds {values.dtype} {list(values.shape)}, not numbers [H, W]")
    except UNREADABLE as error:
        raise UserError(f"{source}: the depth map cannot be read ({error}). Replace it.") from error
    depths: np.ndarray = values.astype(np.float32)
    return depths


def write_depth(values: np.ndarray, path: Path) -> None:
    """Write whole numbers ``[H, W]`` from 0 to 65535 as a PNG of 16 bits, atomically."""
    with atomic(path) as temporary:
        # Light compression: writing takes most of the time.
        Image.fromarray(values.astype(np.uint16)).save(temporary, "PNG", compress_level=1)


def _read_index(path: Path) -> tuple[float, str]:
    """Read scale and unit of the depth maps."""
    try:
        content: Any = load_json(path, small=True)
        scale, unit = float(content["scale"]), str(content.get("unit", "m"))
        if not 0 < scale < float("inf"):
            raise ValueError(f"scale is {scale}")
    except FileNotFoundError as error:
        what = "what one step of the numbers is"
        raise UserError(f"{path}: missing. Write {_EXAMPLE} there: {what}.") from error
    except (OSError, OverflowError, AttributeError, TypeError, KeyError, ValueError) as error:
        raise UserError(f"{path}: expected {_EXAMPLE}; {error!r}.") from error
    return scale, unit


def _write_scenes(root: Path, split: str, count: int) -> None:
    for index in range(count):
        scene = draw_scene(scene_rng(0, split, index), DEMO_SIZE)
        name = f"demo_{index:05d}.png"
        with atomic(root / "images" / split / name) as temporary:
            Image.fromarray(scene.image).save(temporary, "PNG", compress_level=1)
        # The sky is infinitely far: nothing was measured there.
        steps = np.where(np.isfinite(scene.depth), scene.depth / _DEMO_SCALE, 0).round()
        write_depth(steps.clip(0, 65535), root / "depth" / split / name)
