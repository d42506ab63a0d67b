"""What several tasks do alike: images on their way into a model, files on their way out."""

import hashlib
import os
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import v2

from densekd.atomic import atomic
from densekd.data.files import IMAGE_SUFFIXES, find
from densekd.data.photometric import PhotometricDistortion, photometric_distortion
from densekd.data.transforms import PadToSize, RandomScaledCrop
from densekd.errors import UserError
from densekd.models import contract
from densekd.ops.interpolation import resize
from densekd.ops.precision import to_float32
from densekd.tasks.protocol import Augmentation

# Bytes of a stem that leave room for what is added to it; disks allow names of 255.
_LONG_STEM = 200


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
    crop = RandomScaledCrop(views.crop, max_class_share, ignore_index, views.scale, views.padding)
    transforms = [crop, *after_crop(views)]
    if views.padding == "last":
        transforms.append(PadToSize(views.crop, ignore_index))
    return v2.Compose(transforms)


def after_crop(views: Augmentation) -> list[v2.Transform]:
    """Return what all tasks share: a horizontal flip, photometric distortion where asked for."""
    transforms: list[v2.Transform] = [v2.RandomHorizontalFlip(views.flip)]
    if views.photometric == "mmseg":
        transforms.append(PhotometricDistortion())
    if views.photometric == "torchvision":
        transforms.append(photometric_distortion())
    return transforms


def images_at(path: Path) -> dict[str, Path]:
    """List one image, or all images below a folder, by stem.

    Raises:
        UserError: there is none.
    """
    if path.is_file():
        return {path.stem: path}
    found = find(path, IMAGE_SUFFIXES)
    if not found:
        raise UserError(f"{path}: no images ({', '.join(IMAGE_SUFFIXES)}).")
    return found


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a picture atomically."""
    with atomic(path) as temporary:
        picture.save(temporary)


def sample_path(out: Path, stem: str, kind: str) -> Path:
    """Return the path of a report's sample picture; sub-folders of the data join its name.

    Every image has names of its own: ``a/b`` becomes ``a~b``, which is no usual name of a file, and
    what is not unique so, or too long for a disk, gets a checksum of its whole name.
    """
    name = stem.replace("/", "~")
    if "~" in stem or len(os.fsencode(name)) > _LONG_STEM:
        checksum = hashlib.sha256(os.fsencode(stem)).hexdigest()[:8]
        name = f"{name[: _LONG_STEM // 4]}-{checksum}"
    return out / f"{name}.{kind}.png"
