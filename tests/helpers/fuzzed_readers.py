"""Readers of people's files, each with a valid file that is mutated."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import annotation_exports as exports
import dataset_trees as trees
import numpy as np
import original_configs
import torch
import yaml
from mutations import Mutate, bytes_changed, json_changed, text_changed
from PIL import Image
from safetensors.torch import save_file
from tiny_data import make_depth, make_folder, make_scene, tiny_recipe

from densekd.builders.build import build
from densekd.convert_config.python_config import read_config
from densekd.data import DATASETS
from densekd.data.files import SegmentationFiles, read_image
from densekd.data.shards import write_shards
from densekd.models.checkpoints.containers import read_container
from densekd.models.fpn import fpn
from densekd.models.open import open_model
from densekd.models.package import PackageConfig, save_package
from densekd.recipe.reading import load_recipe
from densekd.report import write_report

# Images of a split whose pixels are read.
_READ = 2


class Reader(NamedTuple):
    """One reader.

    Args:
        make: writes valid files below a folder and returns the one that is mutated.
        read: reads the folder.
        mutate: changes the bytes of the file.
    """

    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    mutate: Mutate


def read_data(name: str, split: str, **options: Any) -> Callable[[Path], None]:
    """Return a reader of a dataset and of some of its pixels and annotations."""

    def read(root: Path) -> None:
        files: Any = DATASETS[name](root, split, **options)
        for index in range(min(_READ, len(files))):
            files.image(index)
            if isinstance(files, SegmentationFiles):
                files.pair(index)

    return read


def _after(made: Any, path: str) -> Callable[[Path], Path]:
    """Return what makes a tree and names one of its files."""

    def make(root: Path) -> Path:
        made(root)
        return root / path

    return make


def _recipe(root: Path) -> Path:
    content = tiny_recipe(make_folder(root / "data", {"train": 2, "val": 2}))
    path = root / "recipe.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def _shards(root: Path) -> Path:
    files: Any = DATASETS["folder"](make_folder(root / "data", {"train": 2}), "train")
    for _ in write_shards(files, "train", root, 1):
        pass
    return root / "train.json"


def _named(name: str, text: str) -> Callable[[Path], Path]:
    """Return what makes the folder layout with another description of its classes."""

    def make(root: Path) -> Path:
        make_folder(root, {"train": 2})
        (root / "classes.json").unlink()
        (root / name).write_text(text)
        return root / name

    return make


def _package(root: Path) -> Path:
    config = PackageConfig("fpn", {"backbone": "resnet18_025", "channels": 8}, ["a", "b"], [[0, 0, 0], [9, 9, 9]], 255)
    save_package(fpn(2, "resnet18_025", 8), config, root / "student")
    return root / "student" / "config.json"


def _weights() -> dict[str, Any]:
    return {"state_dict": {"a.weight": torch.ones(2, 3), "b.bias": torch.zeros(3)}, "epoch": 3, "name": "x"}


def _checkpoint(zipped: bool) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        torch.save(_weights(), root / "w.pt", _use_new_zipfile_serialization=zipped)
        return root / "w.pt"

    return make


def _safetensors(root: Path) -> Path:
    save_file(_weights()["state_dict"], root / "w.safetensors", {"format": "pt"})
    return root / "w.safetensors"


def _index(root: Path) -> Path:
    save_file(_weights()["state_dict"], root / "part.safetensors")
    path = root / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"a.weight": "part.safetensors", "b.bias": "part.safetensors"}}))
    return path


def _picture(kind: str, mode: str = "RGB", **options: Any) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        image, _ = make_scene(0, (24, 32), 3)
        path = root / f"a.{kind}"
        Image.fromarray(image).convert(mode).save(path, **options)
        return path

    return make


def _bands(root: Path) -> Path:
    import tifffile

    stream = io.BytesIO()
    tifffile.imwrite(stream, np.arange(5 * 24 * 32, dtype=np.uint16).reshape(5, 24, 32), photometric="minisblack")
    (root / "a.tif").write_bytes(stream.getvalue())
    return root / "a.tif"


def _results(root: Path) -> Path:
    scores = {"miou": 48.0, "pixel_accuracy": 90.0, "iou": {"sky": 50.0, "car": None}, "parameters": 10, "images": 2}
    path = root / "results.json"
    document = {
        "task": "segmentation",
        "split": "val",
        "student": scores,
        "teacher": scores,
        "palette": {"sky": [1, 2, 3]},
    }
    path.write_text(
        json.dumps(
            {
                **document,
                "palette": {"sky": [1, 2, 3]},
                "figures": [{"file": "a.svg", "title": "t", "description": "d"}],
            }
        )
    )
    return path


def _metrics(root: Path) -> Path:
    _results(root)
    path = root / "metrics.csv"
    path.write_text("step,loss,val/miou\n1,2.5,\n2,2.25,\n3,2.0,40.5\n")
    return path


def _environment(root: Path) -> Path:
    _results(root)
    path = root / "environment.json"
    path.write_text(json.dumps({"versions": {"python": "3.11"}, "command": ["train"], "git": None}))
    return path


def _config(name: str) -> Callable[[Path], Path]:
    content = {"model": {"type": "EncoderDecoder", "decode_head": {"type": "FCNHead", "num_classes": 19}}, "lr": 0.01}

    def make(root: Path) -> Path:
        path = root / name
        path.write_text(json.dumps(content) if name.endswith("json") else yaml.safe_dump(content))
        return path

    return make


def _read_bands(root: Path) -> Any:
    return read_image(root / "a.tif", bands=5)


def _no_base(reference: str) -> dict[str, Any]:
    return {}


def _first(suffix: str) -> Callable[[Path], Any]:
    return lambda root: read_image(root / f"a.{suffix}")


READERS: dict[str, Reader] = {
    "recipe": Reader(_recipe, lambda root: build(load_recipe(root / "recipe.yaml")), text_changed),
    "classes.json": Reader(
        _after(lambda root: make_folder(root, {"train": 2}), "classes.json"), read_data("folder", "train"), json_changed
    ),
    "labelmap.txt": Reader(
        _named("labelmap.txt", "# label:color_rgb:parts:actions\na:0,0,0::\nb:9,9,9::\nc:4,5,6::\n"),
        read_data("folder", "train"),
        text_changed,
    ),
    "_classes.csv": Reader(
        _named("_classes.csv", "Pixel Value, Class\n0, a\n1, b\n2, c\n"), read_data("folder", "train"), text_changed
    ),
    "coco boxes": Reader(
        _after(lambda root: trees.make_coco(root / "instances_val.json", root / "val"), "instances_val.json"),
        read_data("coco", "val"),
        json_changed,
    ),
    "coco masks": Reader(
        _after(exports.make_roboflow_coco, "train/_annotations.coco.json"),
        read_data("coco-masks", "train"),
        json_changed,
    ),
    "coco runs": Reader(
        _after(lambda root: exports.make_cvat_coco(root, runs=True), "annotations/instances_default.json"),
        read_data("coco-masks", "annotations/instances_default.json@images/default"),
        json_changed,
    ),
    "voc xml": Reader(
        _after(trees.make_voc_boxes, "Annotations/000012.xml"), read_data("voc-boxes", "trainval"), text_changed
    ),
    "voc list": Reader(
        _after(trees.make_voc_boxes, "ImageSets/Main/trainval.txt"), read_data("voc-boxes", "trainval"), text_changed
    ),
    "yolo yaml": Reader(_after(trees.make_yolo, "data.yaml"), read_data("yolo", "train"), text_changed),
    "yolo boxes": Reader(_after(trees.make_yolo, "labels/train/a.txt"), read_data("yolo", "train"), text_changed),
    "yolo polygons": Reader(
        _after(exports.make_yolo_polygons, "train/labels/0.txt"), read_data("yolo-masks", "train"), text_changed
    ),
    "shards": Reader(_shards, read_data("shards", "train"), json_changed),
    "labelme": Reader(
        _after(lambda root: exports.make_labelme(root, folder="train"), "train/0.json"),
        read_data("labelme", "train"),
        json_changed,
    ),
    "labelstudio": Reader(
        _after(exports.make_label_studio, "project-1-at-2026.json"),
        read_data("labelstudio", "project-1-at-2026"),
        json_changed,
    ),
    "labelstudio brush": Reader(
        _after(lambda root: exports.make_label_studio(root, brush=True), "project-1-at-2026.json"),
        read_data("labelstudio", "project-1-at-2026"),
        json_changed,
    ),
    "supervisely": Reader(
        _after(lambda root: exports.make_supervisely(root, dataset="train"), "project/train/ann/0.png.json"),
        read_data("supervisely", "train"),
        json_changed,
    ),
    "supervisely bitmap": Reader(
        _after(
            lambda root: exports.make_supervisely(root, bitmaps=True, dataset="train"), "project/train/ann/0.png.json"
        ),
        read_data("supervisely", "train"),
        json_changed,
    ),
    "supervisely meta": Reader(
        _after(lambda root: exports.make_supervisely(root, dataset="train"), "project/meta.json"),
        read_data("supervisely", "train"),
        json_changed,
    ),
    "depth.json": Reader(
        _after(lambda root: make_depth(root, {"train": 2}), "depth.json"), read_data("depth", "train"), json_changed
    ),
    "package": Reader(_package, lambda root: open_model(root / "student"), json_changed),
    "checkpoint": Reader(_checkpoint(True), lambda root: read_container(root / "w.pt"), bytes_changed),
    "old checkpoint": Reader(_checkpoint(False), lambda root: read_container(root / "w.pt"), bytes_changed),
    "safetensors": Reader(_safetensors, lambda root: read_container(root / "w.safetensors"), bytes_changed),
    "weights index": Reader(_index, lambda root: read_container(root / "model.safetensors.index.json"), json_changed),
    "png": Reader(_picture("png"), _first("png"), bytes_changed),
    "png palette": Reader(_picture("png", "P"), _first("png"), bytes_changed),
    "jpeg": Reader(_picture("jpg"), _first("jpg"), bytes_changed),
    "tiff": Reader(_picture("tif"), _first("tif"), bytes_changed),
    "tiff lzw": Reader(_picture("tif", compression="tiff_lzw"), _first("tif"), bytes_changed),
    "tiff bands": Reader(_bands, _read_bands, bytes_changed),
    "webp": Reader(_picture("webp"), _first("webp"), bytes_changed),
    "bmp": Reader(_picture("bmp"), _first("bmp"), bytes_changed),
    "gif": Reader(_picture("gif", "P"), _first("gif"), bytes_changed),
    "ppm": Reader(_picture("ppm"), _first("ppm"), bytes_changed),
    "label": Reader(
        _after(lambda root: make_folder(root, {"train": 2}), "labels/train/000.png"),
        read_data("folder", "train"),
        bytes_changed,
    ),
    "depth map": Reader(
        _after(lambda root: make_depth(root, {"train": 2}), "depth/train/000.npy"),
        read_data("depth", "train"),
        bytes_changed,
    ),
    "results.json": Reader(_results, write_report, json_changed),
    "metrics.csv": Reader(_metrics, write_report, text_changed),
    "environment.json": Reader(_environment, write_report, json_changed),
    "config yaml": Reader(_config("a.yaml"), lambda root: read_config(root / "a.yaml", _no_base), text_changed),
    "config python": Reader(
        lambda root: original_configs.write(root, "a.py", original_configs.segdistill("b0", "cgd")),
        lambda root: read_config(root / "a.py", _no_base),
        text_changed,
    ),
    "config json": Reader(_config("a.json"), lambda root: read_config(root / "a.json", _no_base), json_changed),
}
