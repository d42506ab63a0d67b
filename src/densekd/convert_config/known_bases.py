"""Published bases of mmsegmentation, mmdetection and MMRazor: what they hold where they are not on the disk.

Only what a recipe reads is written down. Two generations name the same facts by other keys; a base is
given in the generation of the configuration that asks for it.
"""

import re

from densekd.presets.parts import Content

_SEGMENTATION_DATA: dict[str, Content] = {
    "cityscapes": {"type": "CityscapesDataset", "root": "data/cityscapes/", "scale": (2048, 1024), "crop": (512, 1024)},
    "ade20k": {"type": "ADE20KDataset", "root": "data/ade/ADEChallengeData2016", "scale": (2048, 512), "batch": 4},
    "pascal_voc12": {"type": "PascalVOCDataset", "root": "data/VOCdevkit/VOC2012", "scale": (2048, 512), "batch": 4},
    "coco-stuff164k": {"type": "COCOStuffDataset", "root": "data/coco_stuff164k", "scale": (2048, 512), "batch": 4},
    "coco-stuff10k": {"type": "COCOStuffDataset", "root": "data/coco_stuff10k", "scale": (2048, 512), "batch": 4},
}
_ITERATIONS = re.compile(r"schedule_(\d+)k(_adamw)?$")
_EPOCHS = {"schedule_1x": (12, [8, 11]), "schedule_2x": (24, [16, 22]), "schedule_20e": (20, [16, 19])}


def known_base(reference: str, modern: bool) -> Content | None:
    """Return what a published base holds, or None.

    Args:
        reference: as ``_base_`` names it: ``mmseg::_base_/schedules/schedule_80k.py``, or a path
            that ends so.
        modern: in the keys of mmengine (mmseg 1.x, mmdet 3.x, mmrazor 1.x), else in those of mmcv.
    """
    name = reference.rpartition("/")[2].removesuffix(".py")
    if "runtime" in name:
        return {}
    schedule = _schedule(name, modern)
    if schedule is not None:
        return schedule
    if name == "coco_detection":
        return _coco(modern)
    for data, facts in _SEGMENTATION_DATA.items():
        # ade20k_640x640, cityscapes_769x769, ade20k_repeat, pascal_voc12_aug, ...
        if re.fullmatch(rf"{data}(_aug)?(_repeat)?(_\d+x\d+)?", name.replace("coco_stuff", "coco-stuff")):
            return _segmentation(name, facts, modern)
    return known_model(reference)


def known_model(reference: str) -> Content | None:
    """Return the model of a published configuration by its name, with nothing but what differs.

    ``pspnet/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py``, ``_base_/models/pspnet_r50-d8.py``,
    ``gfl/gfl_r101_fpn_ms-2x_coco.py``.
    """
    name = reference.rpartition("/")[2].removesuffix(".py").replace("faster-rcnn", "faster_rcnn")
    dilated = re.match(r"(pspnet|deeplabv3plus|deeplabv3|fcn)_r(18|50|101)(b)?-?d8", name)
    if dilated:
        return {"model": _dilated(dilated[1], int(dilated[2]), dilated[3] == "b")}
    transformer = re.match(r"segformer_mit[-_]b([0-5])", name)
    if transformer:
        return {"model": _segformer(int(transformer[1]))}
    detector = re.match(r"(retinanet|gfl|faster_rcnn)_(r|x)(18|50|101)([-_](32|64)x4d)?([-_]caffe)?[-_]fpn", name)
    if detector:
        return {"model": _detector(detector)}
    return None


def _dilated(model: str, depth: int, plain_stem: bool) -> Content:
    heads = {
        "pspnet": "PSPHead",
        "deeplabv3": "ASPPHead",
        "deeplabv3plus": "DepthwiseSeparableASPPHead",
        "fcn": "FCNHead",
    }
    basic = depth == 18
    backbone = "ResNet" if plain_stem else "ResNetV1c"
    pretrained = f"torchvision://resnet{depth}" if plain_stem else f"open-mmlab://resnet{depth}_v1c"
    return {
        "type": "EncoderDecoder",
        "pretrained": pretrained,
        "backbone": {"type": backbone, "depth": depth},
        "decode_head": {"type": heads[model], "channels": 128 if basic else 512},
        "auxiliary_head": {
            "type": "FCNHead",
            "channels": 64 if basic else 256,
            "loss_decode": {"type": "CrossEntropyLoss", "loss_weight": 0.4},
        },
        "test_cfg": {"mode": "whole"},
    }


def _segformer(size: int) -> Content:
    layers = [[2, 2, 2, 2], [2, 2, 2, 2], [3, 4, 6, 3], [3, 4, 18, 3], [3, 8, 27, 3], [3, 6, 40, 3]]
    return {
        "type": "EncoderDecoder",
        "backbone": {
            "type": "MixVisionTransformer",
            "embed_dims": 32 if size == 0 else 64,
            "num_layers": layers[size],
            "init_cfg": {"type": "Pretrained", "checkpoint": f"pretrain/mit_b{size}.pth"},
        },
        "decode_head": {"type": "SegformerHead", "channels": 256},
        "test_cfg": {"mode": "whole"},
    }


def _detector(match: re.Match[str]) -> Content:
    types = {"retinanet": "RetinaNet", "gfl": "GFL", "faster_rcnn": "FasterRCNN"}
    depth = int(match[3])
    backbone: Content = {"type": "ResNet", "depth": depth, "frozen_stages": 1, "norm_eval": True}
    checkpoint = f"torchvision://resnet{depth}"
    if match[2] == "x":
        groups = int(match[5] or 32)
        backbone |= {"type": "ResNeXt", "groups": groups, "base_width": 4}
        checkpoint = f"open-mmlab://resnext{depth}_{groups}x4d"
    if match[6]:
        backbone["style"] = "caffe"
        checkpoint = f"open-mmlab://detectron2/resnet{depth}_caffe"
    backbone["init_cfg"] = {"type": "Pretrained", "checkpoint": checkpoint}
    return {"type": types[match[1]], "backbone": backbone}


def _schedule(name: str, modern: bool) -> Content | None:
    iterations = _ITERATIONS.match(name)
    if iterations:
        steps, adamw = 1000 * int(iterations[1]), iterations[2] is not None
        return _poly_modern(steps, adamw) if modern else _poly(steps, adamw)
    if name in _EPOCHS:
        return _steps_modern(*_EPOCHS[name]) if modern else _steps(*_EPOCHS[name])
    return None


def _optimizer(adamw: bool) -> Content:
    if adamw:
        return {"type": "AdamW", "lr": 0.0001, "betas": (0.9, 0.999), "weight_decay": 0.05}
    return {"type": "SGD", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0005}


def _poly(steps: int, adamw: bool) -> Content:
    interval = 4000 if adamw else steps // 10
    return {
        "optimizer": _optimizer(adamw),
        "optimizer_config": {},
        "lr_config": {"policy": "poly", "power": 0.9, "min_lr": 0.0 if adamw else 1e-4, "by_epoch": False},
        "runner": {"type": "IterBasedRunner", "max_iters": steps},
        "checkpoint_config": {"by_epoch": False, "interval": interval},
        "evaluation": {"interval": interval, "metric": "mIoU"},
    }


def _poly_modern(steps: int, adamw: bool) -> Content:
    interval = steps // 10
    schedule = {"type": "PolyLR", "eta_min": 1e-4, "power": 0.9, "begin": 0, "end": steps, "by_epoch": False}
    return {
        "optim_wrapper": {"type": "OptimWrapper", "optimizer": _optimizer(adamw), "clip_grad": None},
        "param_scheduler": [schedule],
        "train_cfg": {"type": "IterBasedTrainLoop", "max_iters": steps, "val_interval": interval},
        "default_hooks": {"checkpoint": {"type": "CheckpointHook", "by_epoch": False, "interval": interval}},
    }


def _steps(epochs: int, milestones: list[int]) -> Content:
    return {
        "optimizer": {"type": "SGD", "lr": 0.02, "momentum": 0.9, "weight_decay": 0.0001},
        "optimizer_config": {"grad_clip": None},
        "lr_config": {
            "policy": "step",
            "warmup": "linear",
            "warmup_iters": 500,
            "warmup_ratio": 0.001,
            "step": list(milestones),
        },
        "runner": {"type": "EpochBasedRunner", "max_epochs": epochs},
        "checkpoint_config": {"interval": 1},
        "evaluation": {"interval": 1, "metric": "bbox"},
    }


def _steps_modern(epochs: int, milestones: list[int]) -> Content:
    warmup = {"type": "LinearLR", "start_factor": 0.001, "by_epoch": False, "begin": 0, "end": 500}
    falls = {
        "type": "MultiStepLR",
        "begin": 0,
        "end": epochs,
        "by_epoch": True,
        "milestones": list(milestones),
        "gamma": 0.1,
    }
    optimizer = {"type": "SGD", "lr": 0.02, "momentum": 0.9, "weight_decay": 0.0001}
    return {
        "optim_wrapper": {"type": "OptimWrapper", "optimizer": optimizer},
        "param_scheduler": [warmup, falls],
        "train_cfg": {"type": "EpochBasedTrainLoop", "max_epochs": epochs, "val_interval": 1},
        "default_hooks": {"checkpoint": {"type": "CheckpointHook", "interval": 1}},
    }


def _segmentation(name: str, facts: Content, modern: bool) -> Content:
    crop = facts.get("crop", (512, 512))
    size = re.search(r"_(\d+)x(\d+)$", name)
    scale = facts["scale"]
    if size:
        crop = (int(size[1]), int(size[2]))
        scale = {769: (2049, 1025), 640: (2560, 640)}.get(crop[0], scale)
    resize: Content = {"type": "Resize", "img_scale": scale, "ratio_range": (0.5, 2.0)}
    if modern:
        resize = {"type": "RandomResize", "scale": scale, "ratio_range": (0.5, 2.0), "keep_ratio": True}
    pipeline: list[Content] = [
        {"type": "LoadImageFromFile"},
        {"type": "LoadAnnotations"},
        resize,
        {"type": "RandomCrop", "crop_size": crop, "cat_max_ratio": 0.75},
        {"type": "RandomFlip", "prob": 0.5},
        {"type": "PhotoMetricDistortion"},
    ]
    if not modern:
        pipeline.append({"type": "Pad", "size": crop, "pad_val": 0, "seg_pad_val": 255})
    dataset: Content = {"type": facts["type"], "data_root": facts["root"], "pipeline": pipeline}
    if "_aug" in name:
        dataset["ann_dir"] = ["SegmentationClass", "SegmentationClassAug"]
    batch = facts.get("batch", 2)
    if modern:
        return {"train_dataloader": {"batch_size": batch, "dataset": dataset}}
    resize_test: Content = {"type": "Resize", "keep_ratio": True}
    if "repeat" in name:
        # SegFormer's and SegDistill's data files resize to multiples of 32 at test time.
        resize_test = {"type": "AlignResize", "keep_ratio": True, "size_divisor": 32}
    test = [{"type": "MultiScaleFlipAug", "img_scale": scale, "flip": False, "transforms": [resize_test]}]
    return {"data": {"samples_per_gpu": batch, "train": dataset, "val": {"pipeline": test}}}


def _coco(modern: bool) -> Content:
    dataset: Content = {"type": "CocoDataset", "data_root": "data/coco/"}
    if not modern:
        resize: Content = {"type": "Resize", "img_scale": (1333, 800), "keep_ratio": True}
        pipeline = [resize, {"type": "RandomFlip", "flip_ratio": 0.5}]
        root = "data/coco/annotations/instances_{}.json"
        train = {**dataset, "ann_file": root.format("train2017"), "pipeline": pipeline}
        return {"data": {"samples_per_gpu": 2, "train": train, "val": {"ann_file": root.format("val2017")}}}
    resize = {"type": "Resize", "scale": (1333, 800), "keep_ratio": True}
    pipeline = [resize, {"type": "RandomFlip", "prob": 0.5}]
    annotations = "annotations/instances_{}.json"
    train = {**dataset, "ann_file": annotations.format("train2017"), "pipeline": pipeline}
    val = {**dataset, "ann_file": annotations.format("val2017")}
    return {"train_dataloader": {"batch_size": 2, "dataset": train}, "val_dataloader": {"dataset": val}}
