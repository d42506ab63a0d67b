"""Object detectors: backbone, neck (feature pyramid), and a head with its own loss and decoding."""

from densekd.models.detection.detector import Detector
from densekd.models.detection.faster_rcnn import faster_rcnn
from densekd.models.detection.gfl import gfl
from densekd.models.detection.retinanet import retinanet

__all__ = ["Detector", "faster_rcnn", "gfl", "retinanet"]
