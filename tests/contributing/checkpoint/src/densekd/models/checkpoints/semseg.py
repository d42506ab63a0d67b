"""Checkpoints of hszhao/semseg: PSPNet of its authors in PyTorch, on ResNets with a deep stem."""

from collections.abc import Mapping

from torch import Tensor

from densekd.models.checkpoints.layout import Recognized, Rules, rename
from densekd.models.checkpoints.resnets import stages, which_resnet

_BOTTLENECK_KEY = "cls.0.weight"
_CLASSIFIER_KEY = "cls.4.weight"
_AUXILIARY_KEY = "aux.0.weight"

# Levels of the pyramid: 0 pools, 1 projects, 2 normalizes. Heads: 3 is dropout, 4 the classifier.
RULES: Rules = (
    (r"layer0\.7(\..*)", r"backbone.bn1\1"),
    (r"layer0\.(\d)(\..*)", r"backbone.conv1.\1\2"),
    *stages(""),
    (r"ppm\.features\.(\d)\.1(\..*)", r"head.pyramid.levels.\1.0\2"),
    (r"ppm\.features\.(\d)\.2(\..*)", r"head.pyramid.levels.\1.1\2"),
    (r"cls\.([01])(\..*)", r"head.bottleneck.\1\2"),
    (r"cls\.4(\..*)", r"head.classifier\1"),
    (r"aux\.([01])(\..*)", r"auxiliary.conv.\1\2"),
    (r"aux\.4(\..*)", r"auxiliary.classifier\1"),
)


def recognize(state: Mapping[str, Tensor]) -> Recognized | None:
    """Recognize a PSPNet by its pyramid ``ppm`` and its heads ``cls`` and ``aux``."""
    backbone = which_resnet(state, "")
    if backbone is None or _BOTTLENECK_KEY not in state or "ppm.features.0.1.weight" not in state:
        return None
    ours, unused = rename(state, RULES)
    options = {
        "num_classes": len(state[_CLASSIFIER_KEY]),
        "backbone": backbone,
        "family": "semseg",
        "channels": len(state[_BOTTLENECK_KEY]),
        "auxiliary_channels": len(state[_AUXILIARY_KEY]) if _AUXILIARY_KEY in state else 0,
    }
    return Recognized("semseg", "pspnet", options, ours, unused)
