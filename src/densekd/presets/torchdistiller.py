"""TorchDistiller (arXiv 2011.13256): CWD, pixel-wise and adversarial distillation on Cityscapes."""

from collections.abc import Iterator

from densekd.presets.parts import DATA, Content, both, term
from densekd.presets.preset import Preset

_CHECKPOINTS = "checkpoints/torchdistiller"
_CWD = term("cwd", 3, {"temperature": 4})
# The original divides by the elements, and its temperature of 1 has no factor.
_PIXEL = term("pixel", 10, {"reduction": "element", "scale": "none"})
# The discriminator's own weight is 0.1, 100 times that of the student's part.
_ADVERSARIAL = term(
    "adversarial",
    0.001,
    {"objective": "wgan-gp", "discriminator_weight": 100, "penalty_weight": 10},
)
# preds[2] comes from behind the dropout of the head.
_FEATURES = term("cwd", 35, {"temperature": 8}, **both("head.dropout"), adapter="conv-bn-relu")
_METHODS: dict[str, tuple[list[Content], str, str]] = {
    "cwd": ([_CWD], "exp_cwd.sh channel kl 3 4 False False False", "74.6 to 75.0 mIoU"),
    "cwd-gan-pixel": (
        [_CWD, _PIXEL, _ADVERSARIAL],
        "exp_cwd.sh channel kl 3 4 True True False",
        "",
    ),
    "cwd-feat": ([_FEATURES], "exp_cwd.sh channel kl 35 8 False False True", "73.99 mIoU (log)"),
}
_DIFFERS = (
    "the command as shipped crops at random and neither scales nor mirrors, and so does this; "
    "of features the original's adapter keeps its first learning rate"
)


def presets() -> Iterator[Preset]:
    """Return the experiments of ``exp_cwd.sh``."""
    for method, (terms, source, published) in _METHODS.items():
        name = f"td-r18-{method}"
        content: Content = {
            "name": name,
            "data": {**DATA["citys"], "batch_size": 8, "workers": 8},
            "augment": {"crop": [512, 512], "scale": [1, 1], "flip": 0, "max_class_share": 1},
            "student": {
                "model": "pspnet",
                "options": {"backbone": "resnet18", "family": "torchdistiller", "auxiliary_channels": 128},
                "pretrained": f"{_CHECKPOINTS}/resnet18-imagenet.pth",
            },
            "teacher": {"checkpoint": f"{_CHECKPOINTS}/teacher_city.pth"},
            "distill": terms,
            "task": {"auxiliary_weight": 0.4, "normalize": "valid"},
            "optimizer": {"method": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0005, "power": 0.9},
            "training": {"steps": 40000, "precision": 32, "validate_every": 0, "checkpoint_every": 1000},
            "evaluation": {"absent": "zero"},
        }
        yield Preset(
            name=name,
            system="torchdistiller",
            student="PSPNet-R18",
            teacher="PSPNet-R101",
            method=method,
            data="citys",
            source=source,
            published=published,
            differs=_DIFFERS,
            content=content,
        )
