"""CIRKD, both versions: commands of its trainers as recipes."""

from collections.abc import Mapping
from typing import Any

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
from densekd.presets.parts import Content, both, term

PROGRAMS = (
    "train_baseline.py", "train_kd.py", "train_cirkd.py", "train_cirkdv2.py", "train_baseline_segformer.py",
    "train_kd_segformer.py", "train_cirkd_segformer.py", "train_cirkdv2_segformer.py",
)  # fmt: skip
# Backbone -> name here.
_BACKBONES: Mapping[str, str] = {
    "resnet18": "resnet18", "resnet34": "resnet34", "resnet50": "resnet50",
    "resnet101": "resnet101", "resnet152": "resnet152", "mobilenetv2": "mobilenetv2_100",
    "mobilenetv2_ssseg": "mobilenetv2_100", "mobilenetv3_small": "mobilenetv3_small_100",
    "mobilenetv3_large": "mobilenetv3_large_100", "mobilevit_xx_small": "mobilevit_xxs",
    "mobilevit_x_small": "mobilevit_xs", "mobilevit_small": "mobilevit_s",
}  # fmt: skip
_MODELS: Mapping[str, str] = {
    "deeplabv3": "deeplabv3", "deeplab_mobile": "deeplabv3_mobile", "deeplabv3_mobilenet_ssseg": "deeplabv3_mobile",
    "psp": "pspnet", "psp_mobile": "psp_mobile", "upernet": "upernet", "upernet_lite": "upernet_lite",
    "segformer": "segformer",
}  # fmt: skip


def convert_cirkd(command: Command, report: Report) -> Content:
    """Return the recipe of a CIRKD command, as plain data.

    Raises:
        UserError: a model or an option that has no counterpart.
    """
    flags = Flags(command.words, report.source)
    version = _version(command, flags)
    transformer = command.program.endswith("_segformer.py")
    baseline = command.program.startswith("train_baseline")
    batch = 2 if baseline else 16
    student = ("model", "backbone") if baseline else ("student-model", "student-backbone")
    names = flags.text(student[0], "deeplabv3"), flags.text(student[1], "resnet18")
    content: Content = {
        "name": "-".join(["cirkdv2" if version == 2 else "cirkd", *names]).replace("_", "-"),
        "data": data_of(flags, batch, report),
        "augment": augment_of(flags, [512, 1024], report),
        "student": _student(flags, names, version, baseline, report),
    }
    if not baseline:
        teacher = flags.text("teacher-model", "deeplabv3"), flags.text("teacher-backbone", "resnet101")
        content["teacher"] = _teacher(flags, teacher, version, report)
        images = max(1, content["data"]["batch_size"] // (command.devices or 1))
        widths = _features(*names, version), _features(*teacher, version)
        content["distill"] = _terms(command.program, flags, images, widths, report)
    content |= _rest(flags, transformer, report)
    flags.report_unread(report)
    return content


def _version(command: Command, flags: Flags) -> int:
    """Return the version of the code, whose heads have other widths."""
    names = " ".join(command.words)
    second = ("upernet", "ssseg", "mobilenetv3", "mobilevit")
    if "cirkdv2" in command.program or flags.has("save-dir-name"):
        return 2
    return 2 if any(name in names for name in second) else 1


def _rest(flags: Flags, transformer: bool, report: Report) -> Content:
    flags.ignore("aux-weight")
    content: Content = {
        "task": dict(TASK),
        "optimizer": optimizer_of(flags, 0.02),
        "training": training_of(flags, 800, 800, report),
        "evaluation": {"absent": "zero"},
    }
    if transformer:
        # The original predicts the two halves of a Cityscapes image.
        content["evaluation"] |= {"crop": [1024, 1024], "stride": [1024, 1024]}
    return content


def _known(table: Mapping[str, Any], name: str, report: Report) -> Any:
    if name not in table:
        raise UserError(f"{report.source}: '{name}' is no model or backbone of CIRKD. {suggest(name, table)}")
    return table[name]


def _student(flags: Flags, names: tuple[str, str], version: int, baseline: bool, report: Report) -> Content:
    model, backbone = names
    content: Content = {"model": _known(_MODELS, model, report), "options": _options(model, backbone, version, report)}
    prefix = "" if baseline else "student-"
    base, whole = flags.text(f"{prefix}pretrained-base", "None"), flags.text(f"{prefix}pretrained", "None")
    # SegFormer's trainers name the encoder's weights so; the others do not read it.
    named = whole if model == "segformer" and base == "None" else base
    if named != "None":
        content["pretrained"] = weights_of(named, "cirkd", report)
    if model != "segformer" and whole != "None":
        report.leave(f"--{prefix}pretrained {whole}: write student.checkpoint to begin with it")
    return content


def _options(model: str, backbone: str, version: int, report: Report) -> Content:
    """Return the options of a model of CIRKD, whose family knows the widths of its heads."""
    if model == "segformer":
        return {"backbone": backbone.lower(), "family": "cirkd"}
    plain = backbone.removesuffix("_vanilla")
    options: Content = {"backbone": _known(_BACKBONES, plain, report), "family": "cirkdv2" if version == 2 else "hwd"}
    if backbone == "mobilenetv2_ssseg":
        options["family"] = "cirkd_ssseg"
    narrow = model == "psp" and version == 2 and plain not in ("resnet18", "resnet34")
    if plain != backbone:
        options["family"] = "cirkd_vanilla"
    if narrow or (plain != backbone and model in ("psp", "deeplabv3")):
        options["channels"] = _features(model, backbone, version)
    return options


def _features(model: str, backbone: str, version: int) -> int:
    """Return the channels before a model's classifier: DeepLabV3 became wider in version 2, PSPNet narrower."""
    if model == "segformer":
        return 256 if backbone.lower() in ("mit_b0", "mit_b1") else 768
    basic, bottleneck = backbone.startswith(("resnet18", "resnet34")), backbone.startswith("resnet")
    if model == "upernet":
        return 512
    if model == "upernet_lite" or not bottleneck:
        return 128
    if model == "psp":
        return 128 if basic else (512 if version == 1 else 256)
    if version == 2:
        return 512
    return 128 if basic else 256


def _teacher(flags: Flags, names: tuple[str, str], version: int, report: Report) -> Content:
    model, backbone = names
    system = "cirkdv2" if version == 2 else "cirkd"
    data = flags.text("dataset", "citys")
    named = flags.text("teacher-pretrained", "None")
    if named == "None":
        named = f"[missing]/{model}_{backbone}_{data}_best_model.pth"
        report.assume("no weights of the teacher are named: those that CIRKD publishes for it")
    content: Content = {"checkpoint": weights_of(named, system, report)}
    if model != "segformer":
        # Two files of one name are told apart by their width.
        content["options"] = {"channels": _features(model, backbone, version)}
    if data == "coco_stuff_164k":
        content["classes"] = "cocostuff-182"
    return content


def _terms(program: str, flags: Flags, images: int, widths: tuple[int, int], report: Report) -> list[Content]:
    if "cirkd" not in program:
        terms = pixel(flags, 0) + adversarial(flags, (0, 0), True, report) + _compared(flags, widths, report)
    elif "cirkdv2" in program:
        terms = pixel(flags, 1) + _second_version(flags, images, "segformer" in program)
    else:
        terms = pixel(flags, 1) + minibatch(flags, images) + _memory(flags)
    if not terms:
        raise UserError(
            f"{report.source}: every --lambda is 0, so nothing is distilled; train_baseline.py trains alone."
        )
    return terms


def _compared(flags: Flags, widths: tuple[int, int], report: Report) -> list[Content]:
    """Return the terms of train_kd.py that have a weight."""
    terms: list[Content] = []
    for flag, method, adapter in (
        ("lambda-skd", "pairwise", None),
        ("lambda-ifv", "ifvd", None),
        ("lambda-fitnet", "fitnet", "conv"),
        ("lambda-at", "at", None),
    ):
        weight = flags.number(flag, 0)
        where: Content = {"adapter": adapter} if adapter else {}
        if weight:
            terms.append(term(method, weighted(weight), **FEATURES, **where))
    return terms + _dsd(flags, report) + _cwd(flags, widths, report)


def _cwd(flags: Flags, widths: tuple[int, int], report: Report) -> list[Content]:
    features, logits = flags.number("lambda-cwd-fea", 0), flags.number("lambda-cwd-logit", 0)
    student, teacher = widths
    terms: list[Content] = []
    if features:
        weight = features
        if student != teacher:
            weight = features * teacher / student
            report.assume(
                f"--lambda-cwd-fea {features:g} is {weight:g} here: the original divides by the student's {student} "
                f"channels, of which its convolution makes the teacher's {teacher}"
            )
        adapter: Content = {"adapter": "conv"} if student != teacher else {}
        terms.append(term("cwd", weighted(weight), {"temperature": 4}, **FEATURES, **adapter))
    if logits:
        terms.append(term("cwd", weighted(logits), {"temperature": 4}))
    return terms


def _dsd(flags: Flags, report: Report) -> list[Content]:
    """Return DSD, which the original computes where both of its weights are given."""
    pixels, classes = flags.number("lambda-psd", 0), flags.number("lambda-csd", 0)
    if not pixels and not classes:
        return []
    if not pixels or not classes:
        report.assume("DSD with one of --lambda-psd and --lambda-csd 0 is not computed in the original, nor here")
        return []
    backbone = flags.text("student-backbone", "resnet18")
    levels = ["aux", "head.dropout", "logits"]
    if not backbone.startswith(("resnet", "mobile")):
        levels = levels[1:]
    compared = both(levels)
    if backbone.startswith("mobile"):
        # Without auxiliary logits its list has the logits twice, beside the teacher's auxiliary ones.
        compared["student"] = ["logits", *levels[1:]]
    options = {"category_weight": weighted(classes / pixels)}
    return [term("dsd", weighted(pixels), options, **compared)]


def _memory(flags: Flags, **where: Any) -> list[Content]:
    options = memory_options(flags)
    if not options["pixel_weight"] and not options["region_weight"]:
        return []
    return [term("cirkd_memory", 1, options, **FEATURES, **where)]


def _second_version(flags: Flags, images: int, transformer: bool) -> list[Content]:
    """Return the terms of CIRKDv2, whose context block is there where FitNet's term is."""
    fitnet = flags.number("lambda-fitnet", 0)
    context = bool(fitnet) and not transformer
    block: Content = {"adapter": "graph-context"} if context else {}
    terms: list[Content] = []
    if fitnet:
        adapter = "graph-context-conv" if context else "conv"
        terms.append(term("fitnet", weighted(fitnet), **FEATURES, adapter=adapter))
    terms += minibatch(flags, images, **block) + _memory(flags, **block)
    options: Content = {
        "batch_weight": weighted(flags.number("lambda-minibatch-channel", 1)),
        "memory_weight": weighted(flags.number("lambda-memory-channel", 0.1)),
        "mse_weight": weighted(flags.number("lambda-channel-kd", 0)),
    }
    for flag, default in (("channel-memory-size", 10000), ("channel-contrast-size", 2048)):
        value = flags.number(flag, default)
        if value != default:
            options[flag.replace("-", "_")] = value
    if any(options[key] for key in ("batch_weight", "memory_weight", "mse_weight")):
        options["images_per_group"] = images
        terms.append(term("cirkd_channel", 1, options, **FEATURES, **block))
    return terms
