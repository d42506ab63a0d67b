"""TorchDistiller's PSPNets: bare state dicts with InPlace-ABN, a pyramid module and a deep supervision branch."""

from collections.abc import Mapping

from torch import Tensor

from densekd.models.checkpoints.layout import Recognized, Rules, rename
from densekd.models.checkpoints.resnets import deep_stem, stages, which_resnet

_EPS = 1e-5

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
    """Recognise TorchDistiller's teacher or student; InPlace-ABN's ``|weight| + eps`` is written out."""
    backbone = which_resnet(state, "")
    if backbone is None or "pspmodule.bottleneck.0.weight" not in state or "head.weight" not in state:
        return None
    ours, unused = rename(state, RULES)
    norms = {key.removesuffix("running_mean") + "weight" for key in ours if key.endswith(".running_mean")}
    ours = {key: value.abs() + _EPS if key in norms else value for key, value in ours.items()}
    options = {
        "num_classes": len(state["head.weight"]),
        "backbone": backbone,
        "family": "torchdistiller",
        "channels": len(state["pspmodule.bottleneck.0.weight"]),
        "auxiliary_channels": len(state["dsn.0.weight"]) if "dsn.0.weight" in state else 0,
    }
    return Recognized("torchdistiller", "pspnet", options, ours, unused)
