"""What CIRKD's and HWD's trainers share: data, optimizer, intervals, adversarial and feature terms."""

from collections.abc import Mapping
from typing import Any

from densekd.convert_config.flags import Flags, weighted
from densekd.convert_config.report import Report
from densekd.errors import UserError, suggest
from densekd.presets.parts import DATA, Content, both, term

TASK: Mapping[str, Any] = {"auxiliary_weight": 0.4, "normalize": "valid"}
# What the trainers call features comes from behind the dropout of the head.
FEATURES: Mapping[str, Any] = both("head.dropout")
# Options about machines, folders and logs.
_MEANINGLESS = (
    "gpu-id", "no-cuda", "local-rank", "save-dir", "save-dir-name", "log-dir", "log-iter", "save-epoch", "val-epoch",
    "start-epoch", "dist-url", "world-size", "ignore-label", "teacher-pretrained-base", "aux", "data-list",
)  # fmt: skip


def data_of(flags: Flags, batch: int, report: Report) -> Content:
    """Return the section ``data``.

    Args:
        flags: of the command; ``--data`` may be a placeholder.
        batch: the trainer's default.
        report: says where the data is expected.

    Raises:
        UserError: unknown data.
    """
    name = flags.text("dataset", "citys")
    # HWD says coco for the 164k images.
    name = "coco_stuff_164k" if name == "coco" else name
    if name not in DATA:
        raise UserError(f"{report.source}: --dataset {name} is unknown. {suggest(name, DATA)}")
    content = dict(DATA[name])
    root = flags.text("data", "")
    if root and "[" not in root:
        content["root"] = root.rstrip("/") or "/"
    else:
        report.assume(f"the data is expected at {content['root']}")
    content["batch_size"] = int(flags.number("batch-size", batch))
    content["workers"] = int(flags.number("workers", flags.number("j", 8)))
    return content


def augment_of(flags: Flags, crop: list[int], report: Report) -> Content:
    """Return the section ``augment``: both trainers always scale and mirror."""
    report.assume("random factors are drawn evenly from 0.5 to 2, not from steps of 0.1")
    return {"crop": flags.numbers("crop-size", crop), "scale": [0.5, 2.0], "flip": 0.5, "max_class_share": 1}


def optimizer_of(flags: Flags, lr: float) -> Content:
    """Return the section ``optimizer``: polynomial decay with power 0.9 to zero."""
    method = flags.text("optimizer-type", "sgd")
    content: Content = {"method": method, "lr": flags.number("lr", lr)}
    momentum = flags.number("momentum", 0.9)
    if method == "sgd":
        content["momentum"] = momentum
    return content | {"weight_decay": flags.number("weight-decay", 0.0001), "power": 0.9}


def training_of(flags: Flags, validate: int, save: int, report: Report) -> Content:
    """Return the section ``training``: the best checkpoint on the validation split is kept.

    Args:
        flags: of the command.
        validate: the trainer's default interval.
        save: the trainer's default interval of checkpoints.
        report: says what differs.
    """
    flags.ignore(*_MEANINGLESS)
    steps = int(flags.number("max-iterations", 40000))
    every = int(flags.number("val-per-iters", validate))
    saved = int(flags.number("save-per-iters", save))
    if flags.has("skip-val"):
        every = 0
        report.assume("validation at the end alone (--skip-val)")
    if flags.has("resume"):
        flags.text("resume", "")
        report.leave("--resume, which loads the student's weights alone: write student.checkpoint")
    best = min(saved, every or saved)
    return {"steps": steps, "validate_every": every, "checkpoint_every": best, "export": "best"}


def pixel(flags: Flags, default: float) -> list[Content]:
    """Return the pixel-wise term, where it has a weight."""
    weight = flags.number("lambda-kd", default)
    temperature = flags.number("kd-temperature", 1)
    if not weight:
        return []
    return [term("pixel", weighted(weight), {"temperature": temperature} if temperature != 1 else None)]


def adversarial(flags: Flags, defaults: tuple[float, float], constant_rate: bool, report: Report) -> list[Content]:
    """Return the adversarial term (hinge), where the generator's part has a weight.

    Args:
        flags: of the command.
        defaults: weights of the generator's and the discriminator's part.
        constant_rate: the discriminator's learning rate does not decay.
        report: says what was left.
    """
    generator = flags.number("lambda-adv", defaults[0])
    discriminator = flags.number("lambda-d", defaults[1])
    rate = flags.number("lr-d", 4e-4)
    flags.ignore("adv-conv-dim", "adv-loss-type", "imsize-for-adv")
    modes = {1: "batch_norm", 2: "tanh", 3: "image"}
    mode = modes.get(int(flags.number("preprocess-GAN-mode", 1)), "batch_norm")
    if not generator:
        if discriminator:
            report.assume("the discriminator alone (--lambda-adv 0) teaches nothing and is left out")
        return []
    options: Content = {"objective": "hinge", "discriminator_weight": weighted(round(discriminator / generator, 6))}
    optimization: Content = {"power": 0} if constant_rate else {}
    if rate != 4e-4:
        optimization["lr"] = rate
    if optimization:
        options["optimization"] = optimization
    if mode != "batch_norm":
        options["preprocess"] = mode
    return [term("adversarial", generator, options)]


def memory_options(flags: Flags) -> Content:
    """Return the options of CIRKD's memory that differ from those of densekd."""
    options: Content = {
        "pixel_weight": flags.number("lambda-memory-pixel", 0.1),
        "region_weight": flags.number("lambda-memory-region", 0.1),
    }
    for flag, key, default in (
        ("pixel-memory-size", "pixel_memory_size", 20000),
        ("region-memory-size", "region_memory_size", 2000),
        ("pixel-contrast-size", "pixel_contrast_size", 4096),
        ("region-contrast-size", "region_contrast_size", 1024),
        ("contrast-temperature", "contrast_temperature", 0.1),
        ("contrast-kd-temperature", "contrast_kd_temperature", 1),
    ):
        value = flags.number(flag, default)
        if value != default:
            options[key] = value
    return options


def minibatch(flags: Flags, images: int, **where: Any) -> list[Content]:
    """Return the term of relations within the images of one process.

    Args:
        flags: of the command.
        images: that one process has.
        where: adapter.
    """
    weight = flags.number("lambda-minibatch-pixel", 1)
    temperature = flags.number("contrast-temperature", 0.1)
    options: Content = {"images_per_group": images}
    if temperature != 0.1:
        options["temperature"] = temperature
    return [term("cirkd_minibatch", weighted(weight), options, **FEATURES, **where)] if weight else []
