"""HWD: commands of its trainers as recipes."""

from collections.abc import Mapping

from densekd.convert_config.cnn_trainers import (
    FEATURES,
    TASK,
    adversarial,
    augment_of,
    data_of,
    memory_options,
    minibatch,
    optimizer_of,
    pixel,
    training_of,
)
from densekd.convert_config.flags import Flags, weighted
from densekd.convert_config.published import weights_of
from densekd.convert_config.report import Report
from densekd.convert_config.shell import Command
from densekd.errors import UserError, suggest
from densekd.presets.parts import Content, term

PROGRAMS = (
    "train_hwd.py", "train_cwd.py", "train_skd.py", "train_ifvd.py", "train_dist.py", "train_mgd.py", "train_cirkd.py",
    "train_baseline.py",
)  # fmt: skip
_MODELS: Mapping[str, str] = {
    "psp": "pspnet", "psp_mobile": "psp_mobile", "deeplabv3": "deeplabv3", "deeplabv3_mobile": "deeplabv3_mobile",
}  # fmt: skip
# Their second data set is COCO-Stuff, whose teacher has its 182 ids.
_CLASSES = {"coco": "cocostuff-182", "coco_stuff_164k": "cocostuff-182", "coco_stuff_10k": "cocostuff-182"}


def convert_hwd(command: Command, report: Report) -> Content:
    """Return the recipe of an HWD command, as plain data.

    Raises:
        UserError: a model or an option that has no counterpart.
    """
    flags = Flags(command.words, report.source)
    method = command.program.removeprefix("train_").removesuffix(".py")
    baseline = method == "baseline"
    prefix = "" if baseline else "student-"
    model, backbone = flags.text(f"{prefix}model", "deeplabv3"), flags.text(f"{prefix}backbone", "resnet18")
    content: Content = {
        "name": "-".join(["hwd", model, backbone, method]).replace("_", "-"),
        "data": data_of(flags, 8, report),
        "augment": augment_of(flags, [512, 512], report),
        "student": _student(flags, model, backbone, prefix, report),
    }
    if not baseline:
        content["teacher"] = _teacher(flags, report)
        images = max(1, content["data"]["batch_size"] // (command.devices or 1))
        content["distill"] = _terms(method, flags, images, report)
    content |= {
        "task": dict(TASK),
        "optimizer": optimizer_of(flags, 0.01),
        "training": training_of(flags, 400, 200000, report),
        "evaluation": {"absent": "zero"},
    }
    flags.report_unread(report)
    return content


def _student(flags: Flags, model: str, backbone: str, prefix: str, report: Report) -> Content:
    if model not in _MODELS:
        raise UserError(f"{report.source}: '{model}' is no model of HWD. {suggest(model, _MODELS)}")
    name = _MODELS[model]
    content: Content = {"model": name, "options": _options(backbone)}
    base, whole = flags.text(f"{prefix}pretrained-base", "None"), flags.text(f"{prefix}pretrained", "None")
    if base != "None":
        content["pretrained"] = weights_of(base, "cirkd", report)
    if whole != "None":
        report.leave(f"--{prefix}pretrained {whole}: write student.checkpoint to begin with it")
    return content


def _options(backbone: str) -> Content:
    return {"backbone": "mobilenetv2_100" if backbone.startswith("mobile") else backbone, "family": "hwd"}


def _width(model: str, backbone: str) -> int:
    """Return the channels before a model's classifier."""
    if backbone in ("resnet18", "resnet34") or backbone.startswith("mobile"):
        return 128
    return 512 if model == "psp" else 256


def _teacher(flags: Flags, report: Report) -> Content:
    model, backbone = flags.text("teacher-model", "deeplabv3"), flags.text("teacher-backbone", "resnet101")
    data = flags.text("dataset", "citys")
    named = flags.text("teacher-pretrained", "None")
    if named == "None":
        named = f"[missing]/{model}_{backbone}_{data}_best_model.pth"
        report.assume("no weights of the teacher are named: those that CIRKD publishes for it")
    content: Content = {
        "options": {"channels": _width(model, backbone)},
        "checkpoint": weights_of(named, "cirkd", report),
    }
    if data in _CLASSES:
        content["classes"] = _CLASSES[data]
    return content


def _terms(method: str, flags: Flags, images: int, report: Report) -> list[Content]:
    if method == "hwd":
        return [_hwd(flags)]
    if method == "cwd":
        return _cwd(flags)
    if method == "dist":
        return [term("dist", 1, {"normalize": "none"})]
    if method == "mgd":
        weight, masked = flags.number("alpha-mgd", 0.00002), flags.number("lambda-mgd", 0.75)
        return [term("mgd", weight, {"masked": masked}, **FEATURES)]
    if method == "cirkd":
        memory = term("cirkd_memory", 1, memory_options(flags), **FEATURES)
        return [*pixel(flags, 1), *minibatch(flags, images), memory]
    flag, name, default = {"skd": ("lambda-pa", "pairwise", 10), "ifvd": ("lambda-ifv", "ifvd", 20)}[method]
    weight = flags.number(flag, default)
    compared = [term(name, weighted(weight), **FEATURES)] if weight else []
    return [*pixel(flags, 1), *adversarial(flags, (0.001, 0.1), False, report), *compared]


def _hwd(flags: Flags) -> Content:
    """Return HWD's term: factor 3 and temperature 4 are fixed in its code."""
    distances = {"MSE": "mse", "L1": "l1", "SMOOTHL1": "smooth_l1", "KL": "kl"}
    division = flags.text("DivPixel", "None")
    options: Content = {
        "distance": distances.get(flags.text("L", "MSE"), "mse"),
        "values": "activations" if flags.has("activation") else "logits",
        "pixel_division": "none" if division == "None" else division,
        "shift": float(flags.number("shift", 0)),
        "process": flags.text("process", "E"),
        "parameter": flags.number("parameter", 0.1),
        "temperature": 4,
    }
    return term("hwd", 3, options)


def _cwd(flags: Flags) -> list[Content]:
    options = {"temperature": flags.number("temperature", 4)}
    logits, features = flags.number("lambda-logit", 3), flags.number("lambda-feat", 0)
    terms: list[Content] = []
    if features:
        terms.append(term("cwd", weighted(features), options, **FEATURES, adapter="conv-bn-relu"))
    if logits:
        terms.append(term("cwd", weighted(logits), options))
    return terms
