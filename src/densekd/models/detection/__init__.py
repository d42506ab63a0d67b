"""Detectors: backbone, neck and a head that knows its own loss and how its maps become boxes."""

from densekd.models.detection.detector import Detector
from densekd.models.detection.faster_rcnn import faster_rcnn
from densekd.models.detection.gfl import gfl
from densekd.models.detection.retinanet import retinanet

__all__ = ["Detector", "faster_rcnn", "gfl", "retinanet"]
