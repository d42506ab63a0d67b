"""mmsegmentation: data and the random views of a training pipeline."""

from dataclasses import dataclass, field
from typing import Any

from densekd.convert_config.job import Job
from densekd.convert_config.mmseg import input_option
from densekd.convert_config.settings import Settings
from densekd.presets.parts import Content

# What densekd does with every image anyway.
_SILENT = (
    "LoadImageFromFile", "LoadAnnotations", "DefaultFormatBundle", "Collect", "PackSegInputs", "ImageToTensor",
    "PackDetInputs", "LoadPanopticAnnotations", "RepeatDataset",
)  # fmt: skip
_DATASETS = {
    "CityscapesDataset": "cityscapes",
    "ADE20KDataset": "ade20k",
    "PascalVOCDataset": "voc",
    "PascalVOCDataset20": "voc",
    "COCOStuffDataset": "cocostuff",
    "CocoStuffDataset": "cocostuff",
    "CamVidDataset": "camvid",
}
_CLASSES = {"cityscapes": 19, "ade20k": 150, "voc": 21, "cocostuff": 171, "cocostuff10k": 171, "camvid": 11}


@dataclass
class Views:
    """What a segmentation pipeline says.

    Args:
        data: for the section ``data``.
        augment: for the section ``augment``.
        options: for the student's options.
        evaluation: for the section ``evaluation``.
    """

    data: Content = field(default_factory=dict)
    augment: Content = field(default_factory=dict)
    options: Content = field(default_factory=dict)
    evaluation: Content = field(default_factory=dict)


def segmentation_data(job: Job, model: Settings) -> tuple[Content, Views]:
    """Return the section ``data``, and what the pipelines say."""
    dataset, loader = _train_dataset(job)
    name = _dataset_name(job, dataset)
    root = str(dataset.get("data_root", default=f"data/{name}")).rstrip("/")
    content: Content = {"dataset": name, "root": root}
    if name == "voc" and "Aug" in str(dataset.peek("ann_dir")) + str(dataset.peek("ann_file")):
        content["train"] = "trainaug"
    dataset.ignore("img_dir", "ann_dir", "data_prefix", "ann_file", "split", "type", "reduce_zero_label", "times")
    _check_classes(name, model, job)
    views = Views()
    for step in dataset.at("pipeline").items():
        _step(job, name, step, views)
    views.augment = {"scale": [1, 1], "flip": 0, "max_class_share": 1, **views.augment, "padding": "last"}
    if "photometric" not in views.augment:
        views.augment["photometric"] = "none"
    _test_pipeline(job, name, views)
    batch = int(loader.get("batch_size" if job.modern else "samples_per_gpu", default=2))
    content |= views.data
    content["batch_size"] = batch * job.gpus
    job.report.assume(
        f"{batch} images on each of {job.gpus} devices: a batch of {batch * job.gpus} (--gpus N: another)"
    )
    content["workers"] = 8
    return content, views


def _train_dataset(job: Job) -> tuple[Settings, Settings]:
    """Return the dataset that is trained on, out of its wrappers, and its loader."""
    loader = job.config.at("train_dataloader") if job.modern else job.config.at("data")
    dataset = loader.at("dataset") if job.modern else loader.at("train")
    while isinstance(dataset.peek("dataset"), dict):
        dataset.ignore("type", "times")
        dataset = dataset.at("dataset")
    loader.ignore("num_workers", "workers_per_gpu", "persistent_workers", "sampler", "batch_sampler", "drop_last")
    return dataset, loader


def _dataset_name(job: Job, dataset: Settings) -> str:
    kind = str(dataset.get("type", default="")).rpartition(".")[2]
    name = _DATASETS.get(kind)
    if name == "cocostuff" and "10k" in str(dataset.peek("data_root")):
        return "cocostuff10k"
    if name is None:
        job.report.leave(
            f"the dataset {kind or 'without type'}: the recipe reads images, labels and classes.json "
            "('dataset: folder'); 'densekd datasets' lists what else there is"
        )
        return "folder"
    return name


def _check_classes(name: str, model: Settings, job: Job) -> None:
    found = model.peek("decode_head", "num_classes")
    expected = _CLASSES.get(name)
    if found is not None and expected is not None and found != expected:
        job.report.leave(f"decode_head.num_classes = {found}: the recipe's '{name}' has {expected}")


def _step(job: Job, dataset: str, step: Settings, views: Views) -> None:
    """Read one step of the training pipeline."""
    kind = str(step.get("type")).rpartition(".")[2]
    if kind in _SILENT:
        step.get()
    elif kind in ("Resize", "RandomResize"):
        _resize(job, dataset, step, views)
    elif kind == "RandomCrop":
        size = step.get("crop_size")
        views.augment["crop"] = list(size) if isinstance(size, (list, tuple)) else [size, size]
        views.augment["max_class_share"] = step.get("cat_max_ratio", default=1)
        step.expect("ignore_index", value=255)
    elif kind == "RandomFlip":
        views.augment["flip"] = step.get("prob", default=step.get("flip_ratio", default=0))
        step.get("flip_ratio")
        step.expect("direction", value="horizontal")
    elif kind == "PhotoMetricDistortion":
        views.augment["photometric"] = "mmseg"
        defaults = {
            "brightness_delta": 32,
            "contrast_range": (0.5, 1.5),
            "saturation_range": (0.5, 1.5),
            "hue_delta": 18,
        }
        for key, value in defaults.items():
            step.expect(key, value=value)
    elif kind == "Normalize":
        views.options |= input_option(step, "to_rgb")
    elif kind == "Pad":
        step.ignore("size", "pad_val", "size_divisor")
        step.expect("seg_pad_val", value=255)
    else:
        step.get()
        job.report.leave(f"the augmentation {kind} of the training pipeline")


def _resize(job: Job, dataset: str, step: Settings, views: Views) -> None:
    """Read the size of whole images, and the range of the random factor."""
    ratio = step.get("ratio_range")
    views.augment["scale"] = list(ratio) if ratio else [1, 1]
    step.get("resize_type")
    scale = step.get("scale") or step.get("img_scale")
    if scale is None:
        return
    if not _is_size(scale):
        job.report.leave(f"several image sizes {scale}: the first is written")
        scale = scale[0]
    views.data |= _size(job, dataset, [int(v) for v in scale], bool(step.get("keep_ratio", default=True)))


def _is_size(scale: Any) -> bool:
    return isinstance(scale, (list, tuple)) and len(scale) == 2 and all(isinstance(v, (int, float)) for v in scale)


def _size(job: Job, dataset: str, scale: list[int], keep_ratio: bool) -> Content:
    long, short = max(scale), min(scale)
    if not keep_ratio:
        # mmcv writes width, height.
        return {"resize": [scale[1], scale[0]]}
    if dataset == "cityscapes" and (long, short) == (2048, 1024):
        return {}
    if long < 2 * short and dataset != "cityscapes":
        job.report.leave(f"the limit of {long} for the longer side: the shorter side alone is brought to {short}")
    job.report.assume(
        f"images are brought to a shorter side of {short} and then scaled, where mmsegmentation scales once"
    )
    return {"short_side": short}


def _test_pipeline(job: Job, dataset: str, views: Views) -> None:
    """Read how whole images are resized for prediction."""
    if job.modern:
        steps = job.config.at("val_dataloader", "dataset", "pipeline")
    else:
        steps = job.config.at("data", "val", "pipeline")
    flat: list[Settings] = []
    for step in steps.items():
        flat += [step, *step.at("transforms").items()]
    for step in flat:
        if step.peek("type") in ("AlignResize", "AlignedResize"):
            views.evaluation["divisor"] = int(step.peek("size_divisor") or 32)
        scale = step.peek("scale") or step.peek("img_scale")
        if _is_size(scale) and scale is not None:
            size = _size(job, dataset, [int(v) for v in scale], step.peek("keep_ratio") is not False)
            if size != views.data:
                job.report.leave(f"another image size for evaluation ({tuple(scale)}) than for training")
    steps.get()
