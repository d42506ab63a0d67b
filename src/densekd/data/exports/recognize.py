"""Recognize exports of annotation tools by their files, to say which dataset reads them."""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from densekd.data.exports.label_studio import is_label_studio
from densekd.data.exports.labelme import is_labelme
from densekd.data.exports.supervisely import project_of
from densekd.errors import UserError
from densekd.parsers import load_json, load_xml

# JSON files that are looked into.
_SAMPLE = 5
# Medical volumes and slices, which are no pictures.
_MEDICAL = (".dcm", ".nii", ".nii.gz")
# Files that are looked at for them.
_LOOKED_AT = 1000
# Label Studio's export as one PNG for each brush: which image it is of, only its number says.
_BRUSH_PNG = re.compile(r"task-\d+-annotation-\d+-by-.*\.png")


def export_of(root: Path) -> str | None:
    """Name the tool whose export a folder is: labelme, labelstudio, supervisely, voc (its XML); None for others."""
    if not root.is_dir():
        return None
    if project_of(root) is not None:
        return "supervisely"
    for content in _contents(root):
        if is_labelme(content):
            return "labelme"
        if is_label_studio(content):
            return "labelstudio"
    return "voc" if _is_voc(root) else None


def advice(root: Path) -> str | None:
    """Say which dataset reads a folder that is not in the folder layout; None where nobody knows."""
    tool = export_of(root)
    if tool == "voc":
        return "It looks like Pascal VOC's boxes in XML: write data.dataset: voc-boxes."
    if tool is not None:
        titles = {"labelme": "LabelMe", "labelstudio": "Label Studio", "supervisely": "Supervisely"}
        return (
            f"It looks like an export of {titles[tool]}: write data.dataset: {tool} for masks, {tool}-boxes for boxes."
        )
    if _is_coco(root):
        return "It looks like COCO's JSON: write data.dataset: coco-masks for masks, coco for boxes."
    if (root / "data.yaml").is_file() or ((root / "classes.txt").is_file() and any(root.glob("labels/*.txt"))):
        return "It looks like YOLO's text files: write data.dataset: yolo-masks for masks, yolo for boxes."
    return _advice_on_pictures(root)


def _advice_on_pictures(root: Path) -> str | None:
    """Say what is to be done with exports whose files alone do not do."""
    if any(_BRUSH_PNG.fullmatch(path.name) for path in root.glob("*.png")):
        return (
            "It looks like Label Studio's export of brushes as PNG, which does not say the images' names: export as "
            "JSON, which has the brushes too, and write data.dataset: labelstudio."
        )
    if (root / "SegmentationClass").is_dir() and not (root / "JPEGImages").is_dir():
        return (
            "It looks like CVAT's masks without their images: export with 'Save images', or put them into JPEGImages."
        )
    if (root / "annotations.xml").is_file():
        return (
            "It looks like CVAT's own XML, which is not read: export the task as 'COCO 1.0' with 'Save images', and "
            "write data.dataset: coco-masks for masks, coco for boxes."
        )
    if any(path.name.lower().endswith(_MEDICAL) for path in islice(root.rglob("*"), _LOOKED_AT)):
        return (
            "It looks like medical volumes (DICOM, NIfTI), which are not read: write their slices as 16-bit PNG or "
            "TIFF beside label PNGs (data.bands: 1), and keep a patient's together by data.split.groups."
        )
    return None


def with_advice(error: UserError, root: Path) -> UserError:
    """Return an error about a folder with the name of the dataset that reads it, where there is one."""
    said = advice(root)
    return error if said is None else UserError(f"{error} {said}")


def _is_coco(root: Path) -> bool:
    patterns = (
        "annotations/instances_*.json",
        "instances_*.json",
        "_annotations.coco.json",
        "*/_annotations.coco.json",
    )
    if any(any(root.glob(pattern)) for pattern in patterns):
        return True
    return any(isinstance(one, dict) and {"images", "categories"} <= set(one) for one in _contents(root))


def _is_voc(root: Path) -> bool:
    """Return True where some XML file below a folder is an image's annotation as Pascal VOC writes it."""
    for path in islice(root.rglob("*.xml"), _SAMPLE):
        try:
            if load_xml(path).tag == "annotation":
                return True
        except (OSError, ValueError):
            continue
    return False


def _contents(root: Path) -> Iterator[Any]:
    """Read some JSON files below a folder."""
    for path in islice(root.rglob("*.json"), _SAMPLE):
        try:
            yield load_json(path)
        except (OSError, ValueError):
            continue
