"""Presets of TorchDistiller: CWD on logits, with GAN and pixel-wise distillation, and on features."""

from densekd.presets.preset import Preset, Section, Term, make_recipe

_WEIGHTS = "checkpoints/torchdistiller"
_CWD: Term = {"method": "cwd", "weight": 3, "options": {"temperature": 4, "normalize": "channel", "divergence": "kl"}}
_PIXEL: Term = {
    "method": "pixel",
    "weight": 10,
    "options": {"temperature": 1, "reduction": "element", "scale": "none"},
}
_GAN: Term = {
    "method": "adversarial",
    "weight": 0.001,
    # lambda_d / lambda_adv = 0.1 / 0.001.
    "options": {
        "objective": "wgan-gp",
        "discriminator_weight": 100,
        "penalty_weight": 10,
        "optimization": {"lr": 0.0004, "betas": [0.9, 0.99]},
    },
}
# The original's features come behind the dropout of the head.
_FEATURES: Term = {
    "method": "cwd",
    "weight": 35,
    "options": {"temperature": 8, "normalize": "channel", "divergence": "kl"},
    "student": "head.dropout",
    "teacher": "head.dropout",
    "adapter": "conv-bn-relu",
}
_DIFFERS = (
    "validation every 4000 steps, where the original scores the last weights alone; the last are exported all the same",
    "adversarial terms read all images of the batch",
)


def _sections() -> dict[str, Section]:
    """Return what all its experiments share: the defaults of ``options.py``."""
    return {
        "data": {"dataset": "cityscapes", "root": "data/cityscapes", "batch_size": 8, "workers": 8},
        # The shipped command passes neither --random-scale nor --random-mirror.
        "augment": {"crop": [512, 512], "scale": [1, 1], "flip": 0, "max_class_share": 1},
        "student": {
            "model": "pspnet",
            "options": {"backbone": "resnet18", "family": "torchdistiller", "auxiliary_channels": 128},
            "pretrained": f"{_WEIGHTS}/resnet18-imagenet.pth",
        },
        "teacher": {"checkpoint": f"{_WEIGHTS}/teacher_city.pth"},
        "task": {"auxiliary_weight": 0.4, "normalize": "valid"},
        "evaluation": {"absent": "zero"},
        "optimizer": {
            "method": "sgd",
            "lr": 0.01,
            "momentum": 0.9,
            "weight_decay": 0.0005,
            "power": 0.9,
            "floor": 0,
            "warmup": 0,
        },
        "training": {"steps": 40000, "validate_every": 4000, "checkpoint_every": 1000, "export": "last"},
    }


def torchdistiller() -> list[Preset]:
    """Return the presets of TorchDistiller."""
    runs = (
        ("td-r18-cwd", "CWD", "channel kl 3 4 False False False v1", [_CWD], "mIoU 74.6 to 75.0", ()),
        (
            "td-r18-cwd-gan-pixel",
            "CWD + GAN + pixel",
            "channel kl 3 4 True True False v1",
            [_CWD, _PIXEL, _GAN],
            "",
            (),
        ),
        (
            "td-r18-feat",
            "CWD of features",
            "channel kl 35 8 False False True v2",
            [_FEATURES],
            "mIoU 73.99 (ckpt/False_False_True_channel_kl_35_8_v2)",
            ("the adapter's rate decays with the student's; the original never lowers it",),
        ),
    )
    presets = []
    for name, method, arguments, terms, published, differs in runs:
        presets.append(
            Preset(
                name=name,
                system="TorchDistiller",
                student="PSPNet-R18",
                teacher="PSPNet-R101",
                method=method,
                data="cityscapes",
                source=f"bash exp_cwd.sh {arguments}",
                recipe=make_recipe(name, _sections() | {"distill": terms}),
                published=published,
                differs=(*_DIFFERS, *differs),
                file="" if name == "td-r18-feat" else f"cityscapes/{name}",
            )
        )
    return presets
