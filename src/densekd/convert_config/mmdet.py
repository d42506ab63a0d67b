"""mmdetection: detectors, their data and views."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from densekd.convert_config.job import Job
from densekd.convert_config.mmseg_data import _SILENT
from densekd.convert_config.published import backbone_weights
from densekd.convert_config.settings import Settings
from densekd.errors import UserError
from densekd.presets.parts import Content

DETECTORS: Mapping[str, str] = {"RetinaNet": "retinanet", "GFL": "gfl", "FasterRCNN": "faster_rcnn"}
# What the three detectors do anyway; another value is reported.
_BACKBONE_AS_OURS: Mapping[str, Any] = {
    "num_stages": 4, "out_indices": (0, 1, 2, 3), "norm_eval": True, "norm_cfg": {"type": "BN", "requires_grad": True},
    "base_width": 4,
}  # fmt: skip
_NECK_AS_OURS: Mapping[str, Any] = {"type": "FPN", "num_outs": 5, "in_channels": [256, 512, 1024, 2048]}
_HEADS_AS_OURS: Mapping[str, Mapping[str, Any]] = {
    "gfl": {
        "type": "GFLHead", "reg_max": 16,
        "loss_cls": {"type": "QualityFocalLoss", "use_sigmoid": True, "beta": 2.0, "loss_weight": 1.0},
        "loss_dfl": {"type": "DistributionFocalLoss", "loss_weight": 0.25},
        "loss_bbox": {"type": "GIoULoss", "loss_weight": 2.0},
        "anchor_generator": {
            "type": "AnchorGenerator", "ratios": [1.0], "octave_base_scale": 8, "scales_per_octave": 1,
            "strides": [8, 16, 32, 64, 128],
        },
    },
    "retinanet": {
        "type": "RetinaHead",
        "loss_cls": {"type": "FocalLoss", "use_sigmoid": True, "gamma": 2.0, "alpha": 0.25, "loss_weight": 1.0},
        "loss_bbox": {"type": "L1Loss", "loss_weight": 1.0},
        "anchor_generator": {
            "type": "AnchorGenerator", "octave_base_scale": 4, "scales_per_octave": 3, "ratios": [0.5, 1.0, 2.0],
            "strides": [8, 16, 32, 64, 128],
        },
        "bbox_coder": {
            "type": "DeltaXYWHBBoxCoder", "target_means": [0.0, 0.0, 0.0, 0.0], "target_stds": [1.0, 1.0, 1.0, 1.0],
        },
    },
    "faster_rcnn": {},
}  # fmt: skip
_ASSIGNERS: Mapping[str, Any] = {
    "gfl": {"type": "ATSSAssigner", "topk": 9},
    "retinanet": {
        "type": "MaxIoUAssigner", "pos_iou_thr": 0.5, "neg_iou_thr": 0.4, "min_pos_iou": 0, "ignore_iof_thr": -1,
    },
}  # fmt: skip
_NMS = {"gfl": 0.6, "retinanet": 0.5}


def detection_model(job: Job, model: Settings) -> Content:
    """Return the section ``student`` for a detector.

    Raises:
        UserError: a detector that densekd does not have.
    """
    kind = str(model.get("type")).rpartition(".")[2]
    if kind not in DETECTORS:
        raise UserError(
            f"{job.report.source}: the detector '{kind}' has no counterpart here. Known: {', '.join(DETECTORS)}; "
            "'hf:NAME' takes detectors of transformers, see docs/models.md."
        )
    name = DETECTORS[kind]
    backbone = model.at("backbone")
    options: Content = {"backbone": _backbone(job, backbone)}
    if backbone.get("style", default="pytorch") == "caffe":
        options["family"] = "mmdet_caffe"
    options |= _freeze(backbone)
    for key, value in _BACKBONE_AS_OURS.items():
        backbone.expect(key, value=value)
    options |= _head(name, model)
    _read_defaults(name, model)
    content: Content = {"model": name, "options": options}
    weights = model.get("pretrained") or model.get("backbone", "init_cfg", "checkpoint")
    backbone.ignore("init_cfg")
    if isinstance(weights, str):
        file = backbone_weights(weights, "mmdet", job.report)
        content |= {"pretrained": file} if file else {}
    inherited = [part for part in ("neck", "bbox_head") if _from_teacher(model.at(part))]
    if inherited:
        content["inherit"] = ["head" if part == "bbox_head" else part for part in inherited]
    return content


def _backbone(job: Job, backbone: Settings) -> str:
    kind = str(backbone.get("type")).rpartition(".")[2]
    depth = int(backbone.get("depth", default=50))
    if kind == "ResNet":
        return f"resnet{depth}"
    if kind == "ResNeXt":
        groups = int(backbone.get("groups", default=32))
        return f"resnext{depth}_{groups}x4d"
    raise UserError(f"{job.report.source}: backbone of type '{kind}' has no counterpart here. Known: ResNet, ResNeXt.")


def _freeze(backbone: Settings) -> Content:
    stages = int(backbone.get("frozen_stages", default=-1))
    parts = ["stem", "stage1", "stage2", "stage3", "stage4"][: stages + 1]
    return {"freeze": parts} if parts else {}


def _head(name: str, model: Settings) -> Content:
    """Return width and depth where they are not the usual ones."""
    options: Content = {}
    width = model.get("neck", "out_channels", default=256)
    if width != 256:
        options["channels"] = width
    head = model.at("bbox_head")
    head.expect("feat_channels", value=width)
    head.expect("in_channels", value=width)
    depth = head.get("stacked_convs", default=4)
    if depth != 4 and name != "faster_rcnn":
        options["depth"] = depth
    head.ignore("num_classes", "init_cfg")
    return options


def _read_defaults(name: str, model: Settings) -> None:
    """Mark what the detector does anyway as read."""
    neck = model.at("neck")
    start, extra = (1, "on_output" if name == "gfl" else "on_input") if name != "faster_rcnn" else (0, None)
    for key, value in {**_NECK_AS_OURS, "start_level": start, "add_extra_convs": extra}.items():
        neck.expect(key, value=value)
    neck.ignore("init_cfg")
    for key, value in _HEADS_AS_OURS[name].items():
        model.at("bbox_head").expect(key, value=value)
    train, test = model.at("train_cfg"), model.at("test_cfg")
    train.expect("assigner", value=_ASSIGNERS.get(name))
    for key, value in {"allowed_border": -1, "pos_weight": -1, "debug": False}.items():
        train.expect(key, value=value)
    for key, value in {"nms_pre": 1000, "min_bbox_size": 0, "score_thr": 0.05, "max_per_img": 100}.items():
        test.expect(key, value=value)
    test.expect("nms", value={"type": "nms", "iou_threshold": _NMS.get(name)})
    model.ignore("_scope_", "init_cfg")
    preprocessor = model.at("data_preprocessor")
    preprocessor.ignore("type", "mean", "std", "bgr_to_rgb", "pad_size_divisor")


def _from_teacher(part: Settings) -> bool:
    """Whether a part begins with the teacher's weights: MGD's students do."""
    init = part.peek("init_cfg")
    return isinstance(init, dict) and init.get("type") == "Pretrained" and "prefix" in init


def detection_data(job: Job) -> tuple[Content, Content]:
    """Return the sections ``data`` and ``augment``."""
    loader = job.config.at("train_dataloader") if job.modern else job.config.at("data")
    train = loader.at("dataset") if job.modern else loader.at("train")
    while isinstance(train.peek("dataset"), dict):
        train.ignore("type", "times")
        train = train.at("dataset")
    place = ("val_dataloader", "dataset") if job.modern else ("data", "val")
    val = job.config.at(*place)
    kind = str(train.get("type", default="CocoDataset")).rpartition(".")[2]
    if kind != "CocoDataset":
        job.report.leave(f"the dataset {kind}: COCO's layout is written; 'densekd datasets' lists the others")
    root = str(train.get("data_root", default="data/coco")).rstrip("/")
    content: Content = {
        "dataset": "coco",
        "root": root,
        "train": _split(train, "train2017"),
        "val": _split(val, "val2017"),
    }
    for part in (train, val):
        part.ignore("data_prefix", "img_prefix", "filter_cfg", "type", "data_root", "test_mode")
    augment: Content = {"flip": 0}
    for step in train.at("pipeline").items():
        _step(job, step, content, augment)
    val.get("pipeline")
    for part in (loader, job.config.at("val_dataloader")):
        part.ignore("num_workers", "workers_per_gpu", "persistent_workers", "sampler", "batch_sampler", "drop_last")
    job.config.ignore_entries("val_dataloader", "batch_size")
    batch = int(loader.get("batch_size" if job.modern else "samples_per_gpu", default=2))
    job.report.assume(
        f"{batch} images on each of {job.gpus} devices: a batch of {batch * job.gpus} (--gpus N: another)"
    )
    return content | {"batch_size": batch * job.gpus, "workers": 8}, augment


def _split(dataset: Settings, default: str) -> str:
    """Return the split that an annotation file names: instances_train2017.json is train2017."""
    name = PurePosixPath(str(dataset.get("ann_file", default=default))).name.removesuffix(".json")
    return name.removeprefix("instances_")


def _step(job: Job, step: Settings, data: Content, augment: Content) -> None:
    """Read one step of the training pipeline."""
    kind = str(step.get("type")).rpartition(".")[2]
    if kind in _SILENT or kind in ("Normalize", "Pad"):
        step.get()
    elif kind in ("Resize", "RandomResize", "RandomChoiceResize"):
        _resize(job, step, data, augment)
    elif kind == "RandomFlip":
        augment["flip"] = step.get("prob", default=step.get("flip_ratio", default=0.5))
        step.get("flip_ratio")
        step.expect("direction", value="horizontal")
    elif kind == "PhotoMetricDistortion":
        step.get()
        augment["photometric"] = "mmseg"
    else:
        step.get()
        job.report.leave(f"the augmentation {kind} of the training pipeline")


def _resize(job: Job, step: Settings, data: Content, augment: Content) -> None:
    """Read one size, or the range that the shorter side is drawn from."""
    named = step.get("scale") or step.get("img_scale") or step.get("scales")
    step.expect("keep_ratio", value=True)
    step.ignore("multiscale_mode", "resize_cfg")
    if named is None:
        return
    sizes = [named] if isinstance(named[0], (int, float)) else list(named)
    shorter = sorted(min(size) for size in sizes)
    data["short_side"], data["long_side"] = shorter[-1], max(max(size) for size in sizes)
    if len(shorter) > 1:
        augment["short_side"] = [shorter[0], shorter[-1]]
        if len(shorter) > 2:
            job.report.assume(f"the shorter side is drawn evenly from {shorter[0]} to {shorter[-1]}")
