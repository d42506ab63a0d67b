"""What several tasks do alike: images on their way into a model, files on their way out."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from threading import RLock
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import v2

from densekd.atomic import atomic, short_name
from densekd.data.files import IMAGE_SUFFIXES
from densekd.data.listing import list_files
from densekd.data.photometric import BandDistortion, PhotometricDistortion, photometric_distortion
from densekd.data.transforms import PadToSize, RandomScaledCrop
from densekd.errors import UserError
from densekd.models import contract
from densekd.ops.finite import output_of
from densekd.ops.interpolation import resize
from densekd.ops.precision import to_float32
from densekd.tasks.protocol import Augmentation
from densekd.tasks.records import Records
from densekd.terminal import Terminal, track

# Held while a model runs: one does not expect to be entered twice.
_RUNNING = RLock()
# Seconds between two lines about a long prediction, where no bar can be shown.
_SAY_EVERY = 60


def to_float(images: Tensor) -> Tensor:
    """Return images as a model takes them, float in [0, 1], from the uint8 ones that travelled.

    Float images are returned as they are.
    """
    if images.is_floating_point():
        return images
    # The division is in place, on the copy that float() made.
    return images.float().div_(255)


def upsample(model: nn.Module, output: Tensor, size: tuple[int, ...]) -> Tensor:
    """Resize a model's maps ``[B, C, h, w]`` bilinearly to (height, width), in at least float32.

    ``align_corners`` is the model's, else False.
    """
    return resize(to_float32(output), size, contract.align_corners(model))


def device_of(model: nn.Module) -> torch.device:
    """Return the device a model is on."""
    first = next(iter(model.parameters()), None)
    if first is None:
        return torch.device("cpu")
    return first.device


def parameter_count(model: nn.Module) -> int:
    """Return the number of a model's parameters."""
    return sum(p.numel() for p in model.parameters())


def random_crops(views: Augmentation, max_class_share: float, ignore_index: int) -> v2.Transform:
    """Return the augmentation of images with a map: a scaled crop, what follows it, and padding.

    Args:
        views: with a size of the crops.
        max_class_share: see :class:`densekd.data.transforms.RandomScaledCrop`.
        ignore_index: value of the map where there is no image.
    """
    assert views.crop is not None
    crop = RandomScaledCrop(views.crop, max_class_share, ignore_index, views.scale, views.padding, views.band_means)
    transforms = [crop, *after_crop(views)]
    if views.padding == "last":
        transforms.append(PadToSize(views.crop, ignore_index, views.band_means))
    return v2.Compose(transforms)


def after_crop(views: Augmentation) -> list[v2.Transform]:
    """Return what all tasks share: a horizontal flip, photometric distortion where asked for."""
    transforms: list[v2.Transform] = [v2.RandomHorizontalFlip(views.flip)]
    # Bands have no colors: their brightness and contrast alone are distorted.
    if views.band_means is not None:
        if views.photometric != "none":
            transforms.append(BandDistortion("zero" if views.photometric == "mmseg" else "mean"))
        return transforms
    if views.photometric == "mmseg":
        transforms.append(PhotometricDistortion())
    if views.photometric == "torchvision":
        transforms.append(photometric_distortion())
    return transforms


def images_at(path: Path) -> dict[str, Path]:
    """List one image, or all images below a folder, by the name of their output.

    That is the path from the folder without its suffix; images that share it keep their suffix.

    Raises:
        UserError: there is none.
    """
    if path.is_file():
        return {path.stem: path}
    if not path.is_dir():
        raise UserError(f"{path}: no such folder.")
    images = []
    for file in list_files(path):
        if file.suffix.lower() in IMAGE_SUFFIXES:
            images.append(file.relative_to(path))
    if not images:
        raise UserError(f"{path}: no images ({', '.join(IMAGE_SUFFIXES)}).")
    stems = Counter(image.with_suffix("").as_posix() for image in images)
    found: dict[str, Path] = {}
    for image in images:
        name = image.with_suffix("").as_posix()
        if stems[name] > 1:
            name = image.as_posix()
        # A file may be called what another became.
        while name in found:
            name += "_"
        file = path / image
        # Messages name the file that a link leads to.
        found[name] = file.readlink() if file.is_symlink() and file.readlink().is_absolute() else file
    return found


def predict_each(
    images: Mapping[str, Path], write: Callable[[str, Path], Any], records: Records, workers: int = 0
) -> list[str]:
    """Predict images one by one; one that cannot be read does not stop the others.

    Args:
        images: name of the output -> file.
        write: predicts one, writes its files and returns what is to be recorded of it; enters
            :func:`one_at_a_time` while its model runs.
        records: of what is done; an image that is in it is left out.
        workers: threads that read and write while the model runs; 0: none.

    Returns:
        what was wrong with each image that was left out.

    Raises:
        UserError: the one image there is cannot be read.
    """
    odd: list[str] = []
    for name, path, done in _begun(images, write, records, workers):
        try:
            if done is not None:
                with output_of(str(path)):
                    records.add(name, path, done())
        except UserError as error:
            if len(images) == 1:
                raise
            odd.append(str(error))
    return odd


def _begun(
    images: Mapping[str, Path], write: Callable[[str, Path], Any], records: Records, workers: int
) -> Iterator[tuple[str, Path, Callable[[], Any] | None]]:
    """Yield each image with what predicts it, or waits for the thread that does; None where it is done already."""
    if not workers:
        for name, path in tracked(images):
            yield name, path, None if records.has(name, path) else partial(write, name, path)
        return
    waiting: dict[str, Future[Any]] = {}
    ahead = iter(images.items())
    with ThreadPoolExecutor(workers) as pool:
        try:
            for name, path in tracked(images):
                # Twice as many are begun as there are threads: what is predicted is not kept for long.
                for following, file in islice(ahead, 2 * workers - len(waiting)):
                    if not records.has(following, file):
                        waiting[following] = pool.submit(write, following, file)
                future = waiting.pop(name, None)
                yield name, path, None if future is None else future.result
        finally:
            # Nobody waits for what was not begun.
            pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Let one thread run a model, without gradients, while others read and write pictures."""
    with _RUNNING, torch.no_grad():
        yield


def tracked(images: Mapping[str, Path]) -> Iterator[tuple[str, Path]]:
    """Yield images, with a bar and the time left; a file or a pipe gets a line every minute instead."""
    if sys.stderr.isatty():
        yield from track(images.items(), "predicting", stream="error")
        return
    started = said = time.monotonic()
    for done, one in enumerate(images.items()):
        now = time.monotonic()
        if done and now - said > _SAY_EVERY:
            said = now
            left = (now - started) / done * (len(images) - done)
            line = f"{done} of {len(images)} predicted, {timedelta(seconds=round(left))} left"
            Terminal(stderr=True).print(line, highlight=False)
        yield one


def require_all(odd: Sequence[str], count: int, out: Path) -> None:
    """Name the images that were not predicted, after all others were.

    Raises:
        UserError: there are some.
    """
    if odd:
        listed = "\n".join(odd)
        done = f"The other {count - len(odd)} are in {out}."
        raise UserError(f"{len(odd)} of {count} images were not predicted. {done}\n{listed}")


def save_picture(picture: Image.Image, path: Path, fast: bool = False) -> None:
    """Write a picture atomically.

    Args:
        picture: what is written.
        path: of a PNG.
        fast: for people to look at: four times as fast, and a little larger.
    """
    options: dict[str, Any] = {"compress_level": 1} if fast else {}
    with atomic(path) as temporary:
        picture.save(temporary, **options)


def sample_path(out: Path, stem: str, kind: str) -> Path:
    """Return the path of a report's sample picture; sub-folders of the data join its name, a long name is cut."""
    return out / f"{short_name(flat(stem))}.{kind}.png"


def flat(stem: str) -> str:
    """Return a name without sub-folders, which become a part of it."""
    return stem.replace("/", "_")


def sample_names(stems: Sequence[str]) -> list[str]:
    """Return a name for each sample of a report, of which no two are equal.

    Args:
        stems: paths in their folder, without suffix; samples of joined splits may share one.
    """
    # What has no sub-folders keeps its name; what would be called the same is numbered.
    taken = {stem for stem in stems if flat(stem) == stem}
    given: set[str] = set()
    names: list[str] = []
    for stem in stems:
        name, number = flat(stem), 1
        while name in given or (name in taken and name != stem):
            number += 1
            name = f"{flat(stem)}-{number}"
        given.add(name)
        names.append(name)
    return names
