"""Detections as files: pictures with boxes, COCO's results, and the sample pictures of a report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image
from torch import nn

from densekd.data.annotations import stacked
from densekd.data.classes import Classes
from densekd.data.detection import DetectionFiles, DetectionItem
from densekd.data.files import image_size, read_image
from densekd.data.transforms import Limits
from densekd.evaluation.boxes_picture import box_picture, error_picture, found_marks, truth_marks
from densekd.evaluation.detection import confident, detect, write_results
from densekd.evaluation.predict import images_at, save


@dataclass(frozen=True)
class BoxPredictor:
    """A detector and all that it takes to find boxes in a picture.

    Args:
        model: changed to evaluation mode when it is used.
        classes: what it finds.
        categories: the number of each class in results files.
        resize: limits that images are brought to before the model, or None.
        threshold: score from which a box is drawn; results files hold all.
    """

    model: nn.Module
    classes: Classes
    categories: tuple[int, ...]
    resize: Limits | None = None
    threshold: float = 0.3

    writes = ("boxes", "detections.json")


def predict_boxes(predict: BoxPredictor, images: Path, out: Path) -> int:
    """Write ``boxes/<stem>.png`` for one image or all images below a folder, and ``detections.json``, COCO's results.

    An image's number is what its name says, where the names are different numbers, as COCO's are; else they are counted
    from 1 in the order of their names.

    Returns:
        How many images were predicted.

    Raises:
        UserError: no image there, or a damaged one.
    """
    paths = images_at(images)
    numbers = image_numbers(list(paths))
    items = [
        DetectionItem(stem, path, number, image_size(path), stacked([]))
        for number, (stem, path) in zip(numbers, paths.items(), strict=True)
    ]
    files, found = DetectionFiles(predict.classes, tuple(items), predict.categories), []
    for item, boxes in detect(predict.model, files, predict.resize):
        marks = found_marks(confident(boxes, predict.threshold), predict.classes)
        save(box_picture(read_image(item.image), marks), out / "boxes" / f"{item.stem}.png")
        found.append((item, boxes))
    write_results(found, predict.categories, out / "detections.json")
    return len(items)


def box_samples(
    predictors: Mapping[str, BoxPredictor], files: DetectionFiles, out: Path, indices: Sequence[int]
) -> None:
    """Write pictures of some images of a split.

    ``<stem>.image.png``, ``.truth.png``, and for each model ``.<name>.png`` and ``.<name>-errors.png``.
    """
    chosen = replace(files, items=tuple(files.items[index] for index in indices))
    for index, item in enumerate(chosen.items):
        image = chosen.image(index)
        save(Image.fromarray(image), _place(out, item, "image"))
        save(box_picture(image, truth_marks(item.truth, files.classes)), _place(out, item, "truth"))
    for name, predict in predictors.items():
        for item, boxes in detect(predict.model, chosen, predict.resize):
            image, found = read_image(item.image), confident(boxes, predict.threshold)
            save(box_picture(image, found_marks(found, files.classes)), _place(out, item, name))
            save(error_picture(image, found, item.truth, files.classes), _place(out, item, f"{name}-errors"))


def image_numbers(stems: Sequence[str]) -> list[int]:
    """Read the images' numbers off their names where these are different numbers; else count from 1."""
    names = [Path(stem).name for stem in stems]
    numbers = [int(name) for name in names if name.isdecimal()]
    return numbers if len(set(numbers)) == len(names) else list(range(1, len(names) + 1))


def _place(out: Path, item: DetectionItem, kind: str) -> Path:
    return out / f"{item.stem.replace('/', '_')}.{kind}.png"
