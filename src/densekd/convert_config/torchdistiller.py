"""TorchDistiller (SemSeg-distill): ``exp_cwd.sh`` and ``train.py`` as recipes."""

from densekd.convert_config.flags import Flags, weighted
from densekd.convert_config.published import weights_of
from densekd.convert_config.report import Report
from densekd.convert_config.shell import Command
from densekd.errors import UserError
from densekd.presets.parts import Content, both, term

SCRIPT = "exp_cwd.sh"
_SYSTEM = "torchdistiller"
_ARGUMENTS = ("norm-type", "divergence", "lambda-cwd", "temperature", "kd", "adv", "cwd-feat")
_MEANINGLESS = (
    "gpu", "local-rank", "save-name", "save-dir", "data-set", "data-list", "data-listval", "num-classes",
    "ignore-label", "T-ckpt-path", "student-pretrain-model-imgnet", "last-step", "imsize-for-adv", "adv-conv-dim",
    "ifv", "lambda-ifv",
)  # fmt: skip


def convert_torchdistiller(command: Command, report: Report) -> Content:
    """Return the recipe of a TorchDistiller command, as plain data.

    Raises:
        UserError: too few arguments, or a value that has no counterpart.
    """
    words = command.words
    if command.program == SCRIPT:
        words = _train_words(words, report)
    flags = Flags(words, report.source)
    content: Content = {
        "name": "torchdistiller-pspnet-resnet18",
        "data": _data(flags, report),
        "augment": _augment(flags, report),
        "student": _student(flags, report),
        "teacher": _teacher(flags, report),
        "distill": _terms(flags, report),
    }
    content["task"] = {"auxiliary_weight": 0.4, "normalize": "valid"}
    steps = int(flags.number("num-steps", 40000))
    content["optimizer"] = {
        "method": "sgd",
        "lr": flags.number("lr-g", 0.01),
        "momentum": flags.number("momentum", 0.9),
        "weight_decay": flags.number("weight-decay", 0.0005),
        "power": flags.number("power", 0.9),
    }
    content["training"] = _training(flags, steps, report)
    content["evaluation"] = {"absent": "zero"}
    flags.ignore(*_MEANINGLESS)
    for name in ("S-resume", "D-resume"):
        if flags.has(name) and flags.truth(name, False):
            report.leave(f"--{name}: name the weights in student.checkpoint")
    flags.ignore("S-ckpt-path", "D-ckpt-path")
    flags.report_unread(report)
    return content


def _train_words(words: tuple[str, ...], report: Report) -> tuple[str, ...]:
    """Return the options of train.py that ``exp_cwd.sh`` makes of its arguments."""
    if len(words) < len(_ARGUMENTS):
        raise UserError(
            f"{report.source}: exp_cwd.sh takes norm, divergence, weight, temperature, KD, ADV, FEAT and a version, "
            "as in 'exp_cwd.sh channel kl 3 4 True True False v1'."
        )
    report.assume("exp_cwd.sh as shipped: it trains without --random-scale and --random-mirror")
    flags = ["--cwd", "True"]
    for name, word in zip(_ARGUMENTS, words, strict=False):
        flags += [f"--{name}", word]
    return tuple(flags)


def _data(flags: Flags, report: Report) -> Content:
    root = flags.text("data-dir", "")
    if not root or "[" in root:
        root = "data/cityscapes"
        report.assume(f"the data is expected at {root}")
    batch = int(flags.number("batch-size", 8))
    return {"dataset": "cityscapes", "root": root.rstrip("/"), "batch_size": batch, "workers": 8}


def _augment(flags: Flags, report: Report) -> Content:
    scale, mirror = flags.has("random-scale"), flags.has("random-mirror")
    if scale:
        report.assume("random factors are drawn evenly from 0.7 to 2.1, not from steps of 0.1")
    # They write width and height alike; 512,512 is what ships.
    crop = flags.numbers("input-size", [512, 512])
    return {
        "crop": crop,
        "scale": [0.7, 2.1] if scale else [1, 1],
        "flip": 0.5 if mirror else 0,
        "max_class_share": 1,
    }


def _student(flags: Flags, report: Report) -> Content:
    options = {"backbone": "resnet18", "family": "torchdistiller", "auxiliary_channels": 128}
    content: Content = {"model": "pspnet", "options": options}
    if flags.truth("is-student-load-imgnet", True):
        named = flags.text("student-pretrain-model-imgnet", "[ckpt]/resnet18-imagenet.pth")
        content["pretrained"] = weights_of(_as_published(named), _SYSTEM, report)
    return content


def _teacher(flags: Flags, report: Report) -> Content:
    named = flags.text("T-ckpt-path", "[ckpt]/teacher_city.pth")
    return {"checkpoint": weights_of(_as_published(named), _SYSTEM, report)}


def _as_published(named: str) -> str:
    """Return the path of a folder ``ckpt``, where the original expects published files, as a placeholder."""
    return named.replace("./ckpt/", "[ckpt]/")


def _terms(flags: Flags, report: Report) -> list[Content]:
    terms: list[Content] = []
    if flags.truth("cwd", True):
        terms.append(_cwd(flags, report))
    if flags.truth("kd", True):
        # The mean is over all elements, and the temperature is always 1.
        options = {"reduction": "element", "scale": "none"}
        terms.append(term("pixel", weighted(flags.number("lambda-kd", 10)), options))
    if flags.truth("adv", False):
        terms.append(_adversarial(flags))
    flags.ignore("lambda-kd", "lambda-adv", "lambda-d", "lambda-gp", "lr-d", "adv-loss-type", "preprocess-GAN-mode")
    if flags.has("ifv") and flags.truth("ifv", False):
        report.assume("--ifv is parsed and never used in the original, nor here")
    if not terms:
        raise UserError(f"{report.source}: --kd, --cwd and --adv are all off, so nothing is distilled.")
    return terms


def _cwd(flags: Flags, report: Report) -> Content:
    norm, divergence = flags.text("norm-type", "none"), flags.text("divergence", "kl")
    weight, temperature = weighted(flags.number("lambda-cwd", 1)), flags.number("temperature", 1)
    if norm in ("none", "channel_mean") and divergence == "kl":
        raise UserError(
            f"{report.source}: --norm-type {norm} with kl is the logarithm of values below zero in the original, and "
            "trains to NaN. Take channel or spatial, or mse."
        )
    options: Content = {} if divergence == "mse" else {"temperature": temperature}
    if norm != "channel":
        options["normalize"] = norm
    if divergence != "kl":
        options["divergence"] = divergence
    if norm == "none":
        report.assume("norm 'none' reads every image; the original reads the first of a batch alone")
    if not flags.truth("cwd-feat", False):
        return term("cwd", weight, options)
    report.assume("the adapter of features learns with the student's decaying rate; the original's rate stays")
    # preds[2] comes from behind the dropout of the head.
    taps = both("head.dropout")
    return term("cwd", weight, options, **taps, adapter="conv-bn-relu")


def _adversarial(flags: Flags) -> Content:
    generator, discriminator = flags.number("lambda-adv", 0.001), flags.number("lambda-d", 0.1)
    objective = flags.text("adv-loss-type", "wgan-gp")
    options: Content = {"objective": objective, "discriminator_weight": weighted(round(discriminator / generator, 6))}
    if objective == "wgan-gp":
        options["penalty_weight"] = weighted(flags.number("lambda-gp", 10))
    rate = flags.number("lr-d", 4e-4)
    if rate != 4e-4:
        options["optimization"] = {"lr": rate}
    mode = {1: "batch_norm", 2: "tanh", 3: "image"}.get(int(flags.number("preprocess-GAN-mode", 1)), "batch_norm")
    if mode != "batch_norm":
        options["preprocess"] = mode
    return term("adversarial", generator, options)


def _training(flags: Flags, steps: int, report: Report) -> Content:
    start, every = int(flags.number("save-ckpt-start", 40000)), int(flags.number("save-ckpt-every", 1000))
    if start >= steps:
        report.assume("validation at the end alone, as --save-ckpt-start asks for")
        validate = 0
    else:
        validate = every
    return {"steps": steps, "validate_every": validate, "checkpoint_every": every}
