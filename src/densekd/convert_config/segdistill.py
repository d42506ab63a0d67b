"""SegDistill: the losses of its ``SDModule`` as terms of a recipe."""

from collections.abc import Mapping
from typing import Any

from densekd.convert_config.job import Job
from densekd.convert_config.settings import Settings
from densekd.convert_config.taps import tap_of
from densekd.presets.parts import Content, term

# "WS": a warm-up of 2000 steps, and a decay from 110000 to 120000.
_SCHEDULE: Mapping[str, Any] = {"warmup": 2000, "decay": [110000, 120000]}
_SHAPES = {"linear": "linear", "exp": "exponential", "jump": "jump"}


def segdistill_terms(job: Job, model: Settings, strides: tuple[int, int]) -> list[Content]:
    """Return the terms of ``model.distillation``.

    Args:
        job: the configuration.
        model: of type ``SDModule``.
        strides: of the student's and the teacher's logits.
    """
    terms: list[Content] = []
    for entry in model.at("distillation").items():
        layers = [entry.get("student_layer"), entry.get("teacher_layer")]
        taps = [tap_of(layer) if isinstance(layer, str) else None for layer in layers]
        name = str(entry.get("loss_name"))
        entry.ignore("log_grad")
        config = entry.at("loss_config")
        if None in taps:
            entry.get()
            job.report.leave(f"the loss {name} on {layers[0]}: the layer has no name here")
            continue
        found = _terms(job, name, config, strides)
        if not found:
            config.get()
        where = {"student": taps[0], "teacher": taps[1]}
        taps_to_write = {key: tap for key, tap in where.items() if tap != "logits"}
        terms += [one | taps_to_write for one in found]
    return terms


def _terms(job: Job, name: str, config: Settings, strides: tuple[int, int]) -> list[Content]:
    if name == "PDLoss":
        return [_group({"transform": "pixel", "temperature": 1})]
    if name == "CDLoss":
        return [_group({"temperature": 1, "group_size": 1})]
    if name in ("CGDLoss", "CGDLossWS"):
        return [_cgd(job, name, config)]
    if name == "KLDLoss":
        return [_kld(job, config)]
    if name in ("ATLoss", "IFVDLoss"):
        return _with_pixel(job, name, strides)
    job.report.leave(f"the loss {name}: densekd has PDLoss, CDLoss, CGDLoss, CGDLossWS, KLDLoss, ATLoss and IFVDLoss")
    return []


def _group(options: Content, weight: Any = 1) -> Content:
    """Return channel-group distillation as SegDistill has it: at the labels' size, without T^2."""
    return term("cgd", weight, {**options, "scale": "none"}, resize_to="label")


def _cgd(job: Job, name: str, config: Settings) -> Content:
    size, temperature, weight = (
        config.get("group_size", default=10),
        config.get("tau", default=2),
        config.get("alpha", default=3),
    )
    options = {"temperature": temperature, "group_size": size, "shuffle_interval": 1000}
    if name == "CGDLossWS":
        if config.value:
            job.report.assume("CGDLossWS takes no options in the original, which fails on them; they are written here")
        return _group(options, {"value": weight, **_SCHEDULE})
    return _group(options, weight)


def _with_pixel(job: Job, name: str, strides: tuple[int, int]) -> list[Content]:
    """Return the terms that the original joins with a pixel-wise one of weight 1."""
    differ = strides[0] != strides[1]
    resize = {"resize_to": "student"} if differ else {}
    pixel = term("pixel", 1, {"scale": "none"}, **resize)
    if name == "IFVDLoss":
        return [pixel, term("ifvd", 10, resize_to="student")]
    if differ:
        job.report.assume(
            "ATLoss compares maps of two sizes, on which the original fails; the teacher's is resized here"
        )
    return [pixel, term("at", 1, {"attention": "mean"}, **resize)]


def _kld(job: Job, config: Settings) -> Content:
    """Return the term of the general loss, whose parts are optional."""
    transform = config.at("transform_config")
    kind = str(transform.get("loss_type", default="none"))
    options: Content = {"transform": kind, "temperature": config.get("tau", default=1)}
    if kind == "channel":
        options |= {"group_size": transform.get("group_size", default=1)}
        del options["transform"]
    interval = config.get("shuffle_config", "interval")
    if interval:
        options["shuffle_interval"] = interval
    resize = config.at("resize_config")
    resized = bool(resize.value)
    resize.expect("mode", value="bilinear")
    resize.expect("align_corners", value=False)
    content = term("cgd", _kld_weight(job, config), {**options, "scale": "none"})
    if resized:
        content["resize_to"] = "label"
    return content


def _kld_weight(job: Job, config: Settings) -> Any:
    value = config.get("alpha", default=1)
    warmup, decay = config.at("warmup_config"), config.at("earlydecay_config")
    weight: Content = {"value": value}
    steps = warmup.get("warmup_iters")
    if steps:
        weight["warmup"] = steps
        _shape(weight, "warmup_shape", str(warmup.get("mode", default="linear")))
    start, end = decay.get("earlydecay_start"), decay.get("earlydecay_end")
    if start and end:
        weight["decay"] = [start, end]
        _shape(weight, "decay_shape", str(decay.get("mode", default="linear")))
    if len(weight) == 1:
        return value
    if "exponential" in weight.values():
        job.report.assume("exponential warm-up and decay begin and end at densekd's own factors, see docs/recipe.md")
    return weight


def _shape(weight: Content, key: str, mode: str) -> None:
    shape = _SHAPES.get(mode, "linear")
    if shape != "linear":
        weight[key] = shape
