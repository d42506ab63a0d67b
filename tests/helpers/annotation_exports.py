"""Exports of annotation tools, fabricated: the same two shapes in every format, and the labels that they mean."""

import base64
import io
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 32, 48
NAMES = ("car", "tree")
Points = list[list[float]]


def picture(k: int) -> np.ndarray:
    """Return image k, uint8 RGB."""
    rng = np.random.default_rng(k)
    return rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def car(k: int) -> Points:
    """Return the corners of a rectangle, x and y."""
    return [[6 + k, 4], [20 + k, 4], [20 + k, 14], [6 + k, 14]]


def tree(k: int) -> Points:
    """Return the corners of a shape like an L, which covers a corner of the car."""
    return [[16 + k, 10], [40 + k, 10], [40 + k, 18], [24 + k, 18], [24 + k, 26], [16 + k, 26]]


def mask_of(k: int, name: str) -> np.ndarray:
    """Return where one of the shapes is, bool."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    if name == "car":
        mask[4:14, 6 + k : 20 + k] = True
    else:
        mask[10:18, 16 + k : 40 + k] = True
        mask[10:26, 16 + k : 24 + k] = True
    return mask


def truth(k: int, order: Sequence[str] = NAMES) -> np.ndarray:
    """Return the label: 0 background, 1 car, 2 tree; the last of ``order`` is on top."""
    label = np.zeros((HEIGHT, WIDTH), np.uint8)
    for name in order:
        label[mask_of(k, name)] = 1 + NAMES.index(name)
    return label


def save_picture(k: int, path: Path) -> Path:
    """Write image k."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(k)).save(path)
    return path


def write(path: Path, content: Any) -> Path:
    """Write JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def png(mask: np.ndarray) -> bytes:
    """Return a PNG of 0 and 255."""
    buffer = io.BytesIO()
    Image.fromarray((255 * mask).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def labelme_content(k: int, name: str) -> dict[str, Any]:
    """Return what LabelMe writes for image k."""
    shapes = [
        {"label": "car", "points": [car(k)[0], car(k)[2]], "shape_type": "rectangle", "flags": {}},
        {"label": "tree", "points": tree(k), "shape_type": "polygon", "group_id": None},
    ]
    return {
        "version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": name, "imageData": None,
        "imageHeight": HEIGHT, "imageWidth": WIDTH,
    }  # fmt: skip


def make_labelme(root: Path, count: int = 2, folder: str = "") -> Path:
    """Write a JSON file beside each image."""
    for k in range(count):
        save_picture(k, root / folder / f"{k}.png")
        write(root / folder / f"{k}.json", labelme_content(k, f"..\\pictures\\{k}.png"))
    return root


def percent(points: Points) -> Points:
    """Return points in percent of the image."""
    return (np.array(points) * 100 / np.array([WIDTH, HEIGHT])).tolist()  # type: ignore[no-any-return]


def region(kind: str, name: str, value: dict[str, Any], key: str) -> dict[str, Any]:
    """Return a result of Label Studio."""
    return {
        "id": key, "type": f"{kind}labels", "from_name": "label", "to_name": "image", "original_width": WIDTH,
        "original_height": HEIGHT, "image_rotation": 0, "value": {**value, f"{kind}labels": [name]},
    }  # fmt: skip


def box_value(points: Points) -> dict[str, Any]:
    """Return a rectangle of Label Studio around points."""
    corners = np.array(percent(points))
    (x, y), (right, bottom) = corners.min(0), corners.max(0)
    return {"x": x, "y": y, "width": right - x, "height": bottom - y, "rotation": 0}


def task_of(k: int, results: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a task of Label Studio with one annotation."""
    return {
        "id": k, "annotations": [{"id": k, "was_cancelled": False, "result": results}], "predictions": [],
        "file_upload": f"0123abcd-{k}.png", "data": {"image": f"/data/upload/1/0123abcd-{k}.png"},
    }  # fmt: skip


def make_label_studio(root: Path, count: int = 2, brush: bool = False) -> Path:
    """Write one JSON file and the images under their own names."""
    tasks = []
    for k in range(count):
        save_picture(k, root / "pictures" / f"{k}.png")
        if brush:
            values = [{"format": "rle", "rle": pack(mask_of(k, name))} for name in NAMES]
            results = [region("brush", name, value, name) for name, value in zip(NAMES, values, strict=True)]
        else:
            results = [
                region("rectangle", "car", box_value(car(k)), "a"),
                region("polygon", "tree", {"points": percent(tree(k)), "closed": True}, "b"),
            ]
        tasks.append(task_of(k, results))
    write(root / "project-1-at-2026.json", tasks)
    return root


def pack(mask: np.ndarray) -> list[int]:
    """Encode a brush of Label Studio: words of 8 bits, runs and single values of RGBA bytes."""
    values = np.repeat((255 * mask).astype(np.uint8).ravel(), 4)
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    place = 0
    while place < len(values):
        changes = np.flatnonzero(values[place:] != values[place])
        run = int(changes[0]) if len(changes) else len(values) - place
        run = min(run, 1 << 16)
        if run > 8:
            bits += f"1{3:02b}{run - 1:016b}{int(values[place]):08b}"
        else:
            # Values one by one, with a length of three bits.
            run = min(8, len(values) - place)
            words = "".join(f"{int(value):08b}" for value in values[place : place + run])
            bits += f"0{0:02b}{run - 1:03b}{words}"
        place += run
    bits += "0" * (-len(bits) % 8)
    return [int(bits[k : k + 8], 2) for k in range(0, len(bits), 8)]


def make_supervisely(root: Path, count: int = 2, bitmaps: bool = False, dataset: str = "ds0") -> Path:
    """Write a project with one dataset."""
    project = root / "project"
    classes = [
        {"title": "car", "shape": "any", "color": "#FF0000"},
        {"title": "tree", "shape": "any", "color": "#00FF00"},
    ]
    write(project / "meta.json", {"classes": classes, "tags": []})
    for k in range(count):
        save_picture(k, project / dataset / "img" / f"{k}.png")
        objects: list[dict[str, Any]] = [
            {"classTitle": "car", "geometryType": "rectangle",
             "points": {"exterior": [car(k)[0], car(k)[2]], "interior": []}},
            {"classTitle": "tree", "geometryType": "polygon", "points": {"exterior": tree(k), "interior": []}},
        ]  # fmt: skip
        if bitmaps:
            objects = [bitmap_object(k, name) for name in NAMES]
        content = {"description": "", "tags": [], "size": {"height": HEIGHT, "width": WIDTH}, "objects": objects}
        write(project / dataset / "ann" / f"{k}.png.json", content)
    return root


def bitmap_object(k: int, name: str) -> dict[str, Any]:
    """Return a bitmap of Supervisely, cut to its box."""
    mask = mask_of(k, name)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    cut = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    data = base64.b64encode(zlib.compress(png(cut))).decode()
    origin = [int(columns[0]), int(rows[0])]
    return {"classTitle": name, "geometryType": "bitmap", "bitmap": {"data": data, "origin": origin}}


def coco_runs(mask: np.ndarray) -> list[int]:
    """Return COCO's runs of a mask, down the columns."""
    values = np.concatenate([[False], mask.T.ravel()])
    changes = np.flatnonzero(values[1:] != values[:-1])
    ends = np.concatenate([[0], changes, [mask.size]])
    return [int(run) for run in np.diff(ends)]


def coco_content(count: int = 2, runs: bool = False, name: str = "{}.png") -> dict[str, Any]:
    """Return COCO's JSON of the shapes; the id of a tree is above that of its car."""
    images, annotations = [], []
    for k in range(count):
        images.append({"id": k + 1, "file_name": name.format(k), "height": HEIGHT, "width": WIDTH})
        for category, (what, points) in enumerate(zip(NAMES, (car(k), tree(k)), strict=True), 1):
            (x, y), (right, bottom) = np.min(points, 0).tolist(), np.max(points, 0).tolist()
            mask: Any = [[value for point in points for value in point]]
            if runs:
                mask = {"size": [HEIGHT, WIDTH], "counts": coco_runs(mask_of(k, what))}
            annotations.append({
                "id": len(annotations) + 1, "image_id": k + 1, "category_id": category, "segmentation": mask,
                "bbox": [x, y, right - x, bottom - y], "area": float(mask_of(k, what).sum()), "iscrowd": int(runs),
            })  # fmt: skip
    categories = [{"id": c, "name": what, "supercategory": ""} for c, what in enumerate(NAMES, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def make_cvat_coco(root: Path, count: int = 2, runs: bool = False) -> Path:
    """Write CVAT's export: one file of annotations, and images in images/default."""
    for k in range(count):
        save_picture(k, root / "images" / "default" / f"{k}.png")
    write(root / "annotations" / "instances_default.json", coco_content(count, runs))
    return root


def make_roboflow_coco(root: Path, splits: Sequence[str] = ("train", "valid")) -> Path:
    """Write Roboflow's export: the annotations among the images of each split, and its group category."""
    for split in splits:
        content = coco_content()
        for category in content["categories"]:
            category["supercategory"] = "things"
        content["categories"].insert(0, {"id": 0, "name": "things", "supercategory": "none"})
        write(root / split / "_annotations.coco.json", content)
        for k in range(2):
            save_picture(k, root / split / f"{k}.png")
    return root


def make_yolo_polygons(root: Path, splits: Sequence[str] = ("train", "valid")) -> Path:
    """Write Roboflow's export of YOLO segmentation."""
    lines = [f"{'val' if split == 'valid' else split}: ../{split}/images" for split in splits]
    (root / "data.yaml").parent.mkdir(parents=True, exist_ok=True)
    (root / "data.yaml").write_text("\n".join([*lines, "nc: 2", f"names: {list(NAMES)}"]))
    for split in splits:
        for k in range(2):
            save_picture(k, root / split / "images" / f"{k}.png")
            write_polygons(root / split / "labels" / f"{k}.txt", k)
    return root


def write_polygons(path: Path, k: int) -> None:
    """Write the two shapes of image k in YOLO's lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, points in enumerate((car(k), tree(k))):
        shares = np.array(points) / np.array([WIDTH, HEIGHT])
        lines.append(f"{number} " + " ".join(f"{value:.9f}" for value in shares.ravel()))
    path.write_text("\n".join(lines) + "\n")
