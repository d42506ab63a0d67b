"""Typical configurations, with the numbers that their projects publish for them."""

from typing import Any, NamedTuple


class Entry(NamedTuple):
    """One configuration.

    Args:
        model: name of ``MODELS``.
        options: the builder's arguments.
        classes: number of classes that parameters and FLOPs are counted for.
        published: score, data and project; empty where none is known.
    """

    model: str
    options: dict[str, Any]
    classes: int = 19
    published: str = ""


def _resnet(model: str, depth: int, family: str, published: str = "", **options: Any) -> Entry:
    return Entry(model, {"backbone": f"resnet{depth}", "family": family, **options}, 19, published)


def _mit(size: int, family: str, classes: int, published: str = "") -> Entry:
    return Entry("segformer", {"backbone": f"mit_b{size}", "family": family}, classes, published)


ZOO: tuple[Entry, ...] = (
    _resnet("pspnet", 101, "mmseg", "Cityscapes val 79.76 (mmsegmentation)"),
    _resnet("pspnet", 50, "mmseg", "Cityscapes val 78.55 (mmsegmentation)"),
    _resnet("pspnet", 18, "mmseg", "Cityscapes val 74.87, distilled by CWD 75.54 (MMRazor)"),
    _resnet("pspnet", 101, "mmseg_b", "Cityscapes val 79.69 (mmsegmentation)"),
    _resnet("pspnet", 18, "mmseg_b", "Cityscapes val 74.23 (mmsegmentation)"),
    _resnet("pspnet", 101, "torchdistiller", "Cityscapes val 78.56 (TorchDistiller)", auxiliary_channels=512),
    _resnet("pspnet", 18, "torchdistiller", "alone 69.10, by CWD 74.87 (TorchDistiller)", auxiliary_channels=128),
    _resnet("pspnet", 18, "cirkd", "Cityscapes val 72.55, by CIRKD 74.73 (CIRKD)"),
    _resnet("deeplabv3", 101, "cirkd", "Cityscapes val 78.07 (CIRKD)", channels=256),
    _resnet("deeplabv3", 101, "cirkd", "Cityscapes test 78.30 (CIRKDv2)", channels=512),
    _resnet("deeplabv3", 18, "cirkd", "Cityscapes val 74.21, by CIRKD 76.38 (CIRKD)", channels=128),
    _resnet("deeplabv3", 18, "cirkd", "Cityscapes test 73.56, by CIRKDv2 75.60", channels=512),
    Entry(
        "deeplabv3",
        {"backbone": "mobilenetv2_100", "family": "cirkd", "channels": 128, "auxiliary_channels": 0},
        published="Cityscapes val 73.12, by CIRKD 75.42 (CIRKD)",
    ),
    Entry(
        "deeplabv3",
        {"backbone": "mobilenetv3_small_100", "family": "cirkd", "channels": 128, "auxiliary_channels": 0},
        published="Cityscapes test 65.05, by CIRKDv2 67.62",
    ),
    Entry(
        "deeplabv3",
        {"backbone": "mobilevit_xxs", "family": "cirkd", "channels": 128, "auxiliary_channels": 0},
        published="Cityscapes test 66.24, by CIRKDv2 68.91",
    ),
    _resnet("deeplabv3plus", 18, "mmseg"),
    _resnet("deeplabv3plus", 101, "mmseg"),
    _resnet("fcn", 18, "mmseg"),
    _resnet("fcn", 101, "mmseg"),
    _resnet("upernet", 18, "cirkd", "Cityscapes test 68.90, by CIRKDv2 72.11", channels=(512, 128)),
    Entry("upernet", {"backbone": "swin_tiny"}, 150, "ADE20K val 44.21, by CGD 46.83 (SegDistill)"),
    Entry("upernet", {"backbone": "swin_small"}, 150, "ADE20K val 47.64 (SegDistill)"),
    Entry("upernet", {"backbone": "swin_base"}, 150, "ADE20K val 49.72 (SegDistill)"),
    _mit(0, "nvlabs", 150, "ADE20K val 38.0, by CGD 41.27 (SegDistill)"),
    _mit(1, "nvlabs", 150, "ADE20K val 43.1 (SegDistill)"),
    _mit(3, "nvlabs", 150, "ADE20K val 50.0 (SegDistill)"),
    _mit(4, "nvlabs", 150, "ADE20K val 51.1 (SegDistill)"),
    _mit(0, "cirkd", 19, "Cityscapes test 74.12, by CIRKDv2 75.52"),
    _mit(4, "cirkd", 19, "Cityscapes test 80.38 (CIRKDv2)"),
    _mit(0, "mmseg", 150),
    Entry("gfl", {"backbone": "resnet101"}, 80, "COCO val 44.7 (mmdetection)"),
    Entry("gfl", {"backbone": "resnet50"}, 80, "COCO val 40.2, by CWD 41.9 (MMRazor)"),
    Entry("gfl", {"backbone": "resnet18"}, 80),
    Entry("retinanet", {"backbone": "resnext101_64x4d"}, 80, "COCO val 41.0 (mmdetection)"),
    Entry("retinanet", {"backbone": "resnet50"}, 80, "COCO val 37.4, by PKD 40.8 (MMRazor)"),
    Entry("faster_rcnn", {"backbone": "resnet101"}, 80, "COCO val 39.4 (mmdetection)"),
    Entry("faster_rcnn", {"backbone": "resnet50"}, 80, "COCO val 37.4, by FBKD 39.3 (MMRazor)"),
    Entry("fpn", {"backbone": "resnet18"}),
    Entry("fpn", {"backbone": "mobilenetv3_small_100"}),
)
