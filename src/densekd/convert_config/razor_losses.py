"""MMRazor: each of its losses as a term of a recipe, with the connector before it."""

from collections.abc import Callable, Mapping

from densekd.convert_config.job import Job
from densekd.convert_config.settings import Settings
from densekd.presets.parts import Content

Parts = tuple[float, Content]

CONNECTORS = ("MGDConnector", "MGDConncetor", "FBKDStudentConnector", "FBKDTeacherConnector", "ConvModuleConnector")
# Losses that learn something of their own, which MMRazor keeps in connectors.
_OWN_CONNECTORS = {"MGDLoss": ("MGDConnector", "MGDConncetor"), "FBKDLoss": ("FBKDStudentConnector",)}


def loss_term(job: Job, name: str, loss: Settings, connector: Settings | None) -> Content | None:
    """Return a term without taps, or None where the loss has no counterpart, which is reported."""
    kind = str(loss.get("type")).rpartition(".")[2]
    if kind not in _LOSSES:
        loss.get()
        job.report.leave(f"the loss {name}: {kind} has no counterpart; 'densekd losses' lists what there is")
        return None
    method, read = _LOSSES[kind]
    weight, options = read(loss, connector)
    loss.ignore("name", "teacher_detach", "student_channels", "teacher_channels", "in_channels")
    content: Content = {"method": method, "weight": weight}
    if options:
        content["options"] = options
    if connector is not None and connector.peek("type") not in _OWN_CONNECTORS.get(kind, ()):
        content |= _adapter(job, connector)
    return content


def _adapter(job: Job, connector: Settings) -> Content:
    """Return the adapter of a term for a connector."""
    kind = connector.get("type")
    if kind != "ConvModuleConnector":
        connector.get()
        job.report.leave(f"the connector {kind}: features are compared as they are")
        return {}
    norm, activation = connector.get("norm_cfg"), connector.get("act_cfg", default={"type": "ReLU"})
    connector.expect("kernel_size", value=1)
    connector.ignore("in_channel", "out_channel", "init_cfg", "bias")
    if norm and activation:
        return {"adapter": "conv-bn-relu"}
    if activation:
        job.report.leave("the ReLU of a ConvModuleConnector without norm")
    return {"adapter": {"name": "conv", "options": {"bias": True}}}


def _weight(loss: Settings) -> float:
    weight: float = loss.get("loss_weight", default=loss.get("weight", default=1.0))
    loss.ignore("weight")
    return weight


def _temperature(loss: Settings, default: float) -> Content:
    return {"temperature": loss.get("tau", default=loss.get("T", default=default))}


def _cwd(loss: Settings, connector: Settings | None) -> Parts:
    return _weight(loss), _temperature(loss, 1.0)


def _kl(loss: Settings, connector: Settings | None) -> Parts:
    reductions = {"batchmean": "batch", "sum": "sum", "mean": "element"}
    reduction = str(loss.get("reduction", default="batchmean"))
    options = _temperature(loss, 1.0) | {"reduction": reductions.get(reduction, "batch")}
    return _weight(loss), options


def _soft(loss: Settings, connector: Settings | None) -> Parts:
    loss.expect("reduction", value="mean")
    loss.expect("mult_tem_square", value=True)
    return _weight(loss), _temperature(loss, 1.0) | {"divergence": "soft_ce"}


def _hard(loss: Settings, connector: Settings | None) -> Parts:
    return _weight(loss), {"divergence": "hard_ce"}


def _dist(loss: Settings, connector: Settings | None) -> Parts:
    options = _temperature(loss, 1.0)
    options |= {"beta": loss.get("inter_loss_weight", default=1.0), "gamma": loss.get("intra_loss_weight", default=1.0)}
    return _weight(loss), options


def _dkd(loss: Settings, connector: Settings | None) -> Parts:
    options = _temperature(loss, 1.0)
    options |= {"alpha": loss.get("alpha", default=1.0), "beta": loss.get("beta", default=1.0)}
    if loss.get("reduction", default="batchmean") != "batchmean":
        options["reduction"] = "sum"
    return _weight(loss), options


def _wsld(loss: Settings, connector: Settings | None) -> Parts:
    loss.ignore("num_classes")
    return _weight(loss), _temperature(loss, 2.0)


def _pkd(loss: Settings, connector: Settings | None) -> Parts:
    student = loss.get("resize_stu", default=True)
    return _weight(loss), {} if student else {"resize": "teacher"}


def _l1(loss: Settings, connector: Settings | None) -> Parts:
    return _weight(loss), {"reduction": "sum"} if loss.get("reduction") == "sum" else {}


def _l2(loss: Settings, connector: Settings | None) -> Parts:
    options: Content = {}
    if loss.get("normalize", default=True) is False:
        options["normalize"] = "none"
    if loss.get("div_element"):
        options["reduction"] = "element"
    if loss.get("dist"):
        options["reduction"] = "distance"
    mult = loss.get("mult", default=1.0)
    if mult != 1.0:
        options["mult"] = mult
    return _weight(loss), options


def _at(loss: Settings, connector: Settings | None) -> Parts:
    return _weight(loss), {}


def _mgd(loss: Settings, connector: Settings | None) -> Parts:
    options: Content = {"masked": 0.65}
    if connector is not None:
        options["masked"] = connector.get("lambda_mgd", default=0.65)
        if connector.get("mask_on_channel"):
            options["mask"] = "channel"
        connector.ignore("type", "student_channels", "teacher_channels", "init_cfg")
    return loss.get("alpha_mgd", default=0.00002), options


def _fbkd(loss: Settings, connector: Settings | None) -> Parts:
    options: Content = {}
    if connector is not None:
        options["reduction"] = connector.get("reduction", default=2)
        # Positions are sampled by max-pooling, or not at all.
        sampled = connector.get("sub_sample", default=False)
        options["stride"] = connector.get("maxpool_stride", default=2) if sampled else 1
        connector.expect("mode", value="dot_product")
        connector.ignore("type", "in_channels", "maxpool_stride")
    for theirs, ours in (
        ("mask_l2_weight", "mask_weight"),
        ("channel_weight", "channel_weight"),
        ("spatial_weight", "spatial_weight"),
        ("nonloacl_weight", "non_local_weight"),
    ):
        if loss.peek(theirs) is not None:
            options[ours] = loss.get(theirs)
    return _weight(loss), options


def _fgd(loss: Settings, connector: Settings | None) -> Parts:
    names = {
        "temp": ("temperature", 0.5),
        "alpha_fgd": ("foreground_weight", 0.001),
        "beta_fgd": ("background_weight", 0.0005),
        "gamma_fgd": ("attention_weight", 0.0005),
        "lambda_fgd": ("relation_weight", 0.000005),
    }
    options: Content = {}
    for theirs, (ours, default) in names.items():
        value = loss.get(theirs, default=default)
        # What ships is our default.
        if value != default:
            options[ours] = value
    return _weight(loss), options


_LOSSES: Mapping[str, tuple[str, Callable[[Settings, Settings | None], Parts]]] = {
    "ChannelWiseDivergence": ("cwd", _cwd),
    "KLDivergence": ("pixel", _kl),
    "KDSoftCELoss": ("pixel", _soft),
    "CrossEntropyLoss": ("pixel", _hard),
    "DISTLoss": ("dist", _dist),
    "DKDLoss": ("dkd", _dkd),
    "WSLD": ("wsld", _wsld),
    "PKDLoss": ("pkd", _pkd),
    "L1Loss": ("l1", _l1),
    "L2Loss": ("l2", _l2),
    "ATLoss": ("at", _at),
    "MGDLoss": ("mgd", _mgd),
    "FBKDLoss": ("fbkd", _fbkd),
    "FGDLoss": ("fgd", _fgd),
}
