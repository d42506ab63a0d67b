"""TorchDistiller's PSPNets: bare state dicts with InPlace-ABN and a deep supervision branch."""

from collections.abc import Mapping

from torch import Tensor

from densekd.models.checkpoints.layout import Recognized, Rules, rename
from densekd.models.checkpoints.resnets import deep_stem, stages, which_resnet

_EPS = 1e-5
_BOTTLENECK_KEY = "pspmodule.bottleneck.0.weight"
_AUXILIARY_KEY = "dsn.0.weight"

# Stage 0 of a level pools, 1 projects, 2 normalizes; dsn is the deep supervision branch.
RULES: Rules = (
    *deep_stem(""),
    *stages(""),
    (r"pspmodule\.stages\.(\d)\.1(\..*)", r"head.pyramid.levels.\1.0\2"),
    (r"pspmodule\.stages\.(\d)\.2(\..*)", r"head.pyramid.levels.\1.1\2"),
    (r"pspmodule\.bottleneck(\..*)", r"head.bottleneck\1"),
    (r"head(\.weight|\.bias)", r"head.classifier\1"),
    (r"dsn\.([01])(\..*)", r"auxiliary.conv.\1\2"),
    (r"dsn\.3(\..*)", r"auxiliary.classifier\1"),
)


def recognize(state: Mapping[str, Tensor]) -> Recognized | None:
    """Recognize a teacher or student; InPlace-ABN's ``|weight| + eps`` is written out."""
    backbone = which_resnet(state, "")
    if backbone is None:
        return None
    if _BOTTLENECK_KEY not in state or "head.weight" not in state:
        return None
    ours, unused = rename(state, RULES)
    # A norm is known by its running mean; its weight is what InPlace-ABN multiplies by.
    for key in list(ours):
        prefix, dot, leaf = key.rpartition(".")
        if leaf == "running_mean":
            weight = f"{prefix}{dot}weight"
            if weight in ours:
                ours[weight] = ours[weight].abs() + _EPS
    options = {
        "num_classes": len(state["head.weight"]),
        "backbone": backbone,
        "family": "torchdistiller",
        "channels": len(state[_BOTTLENECK_KEY]),
        "auxiliary_channels": len(state[_AUXILIARY_KEY]) if _AUXILIARY_KEY in state else 0,
    }
    return Recognized("torchdistiller", "pspnet", options, ours, unused)
