"""Segmentation of OpenMMLab: MMRazor's CWD, and mmsegmentation-distiller's."""

from collections.abc import Iterator
from dataclasses import dataclass

from densekd.presets.parts import DATA, Content, term
from densekd.presets.preset import Preset

_CITYSCAPES = "pspnet_r101-d8_512x1024_80k_cityscapes_20200606_112211-e1e1100f.pth"
# mmsegmentation-distiller's own.
_CITYSCAPES_B = "pspnet_r101b-d8_512x1024_80k_cityscapes_20201226_170012-3a4d38ab.pth"
_ADE20K = "pspnet_r101-d8_512x512_160k_ade20k_20200615_100650-967c316f.pth"
_TEACHERS = {"citys": _CITYSCAPES, "ade20k": _ADE20K}
_CROPS = {"citys": [512, 1024], "ade20k": [512, 512]}
_DIFFERS = (
    "the teacher's dropout is off; images are scaled from their own size, or from a shorter side "
    "of 512, where mmsegmentation scales once"
)


@dataclass(frozen=True)
class Experiment:
    """PSPNet-R101 teaches PSPNet-R18 by CWD on logits.

    Args:
        name: of the preset.
        system: whose configuration.
        source: the configuration.
        data: short name of the data.
        batch: images of a step, on all devices.
        steps: of the training.
        weight: of CWD.
        published: score, or nothing.
    """

    name: str
    system: str
    source: str
    data: str
    batch: int
    steps: int
    weight: int
    published: str = ""


_CWD = "configs/distiller/cwd"
EXPERIMENTS = (
    Experiment(
        "mmrazor-r18-cwd",
        "mmrazor",
        "cwd_logits_pspnet_r101-d8_pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py",
        "citys",
        8,
        80000,
        5,
        "75.54 mIoU",
    ),
    # DeepSparkHub's page runs the same configuration on eight devices, and leaves the rate.
    Experiment(
        "mmrazor-r18-cwd-8gpu",
        "mmrazor",
        "dist_train.sh with the same configuration on 8 devices (DeepSparkHub)",
        "citys",
        16,
        80000,
        5,
        "75.32 mIoU",
    ),
    Experiment(
        "mmsegdistiller-r18-cwd",
        "mmsegmentation-distiller",
        f"{_CWD}/cwd_psp_r101-d8_distill_psp_r18_d8_512_1024_80k_cityscapes.py",
        "citys",
        8,
        80000,
        5,
    ),
    Experiment(
        "mmsegdistiller-r18-ade20k-cwd",
        "mmsegmentation-distiller",
        f"{_CWD}/cwd_w_10_t_1_psp_r101-d8_distill_psp_r18_d8_512x512_4x4_80k_ade20k.py",
        "ade20k",
        16,
        80000,
        10,
    ),
    Experiment(
        "mmsegdistiller-r18-ade20k-cwd-40k",
        "mmsegmentation-distiller",
        f"{_CWD}/cwd_w_10_t_1_psp_r101-d8_distill_psp_r18_d8_512x512_2x4_40k_ade20k.py",
        "ade20k",
        8,
        40000,
        10,
    ),
    Experiment(
        "mmsegdistiller-r18-ade20k-cwd-8x1",
        "mmsegmentation-distiller",
        f"{_CWD}/cwd_w_10_t_1_psp_r101-d8_distill_psp_r18_d8_512x512_8x1_40k_ade20k.py",
        "ade20k",
        8,
        40000,
        10,
    ),
)


def presets() -> Iterator[Preset]:
    """Return the experiments on Cityscapes and ADE20K."""
    for experiment in EXPERIMENTS:
        yield _preset(experiment)


def _content(experiment: Experiment) -> Content:
    """Return the recipe as plain data."""
    file = _TEACHERS[experiment.data]
    if experiment.name == "mmsegdistiller-r18-cwd":
        file = _CITYSCAPES_B
    data: Content = dict(DATA[experiment.data])
    if experiment.data == "ade20k":
        data["short_side"] = 512
    return {
        "name": experiment.name,
        "data": {**data, "batch_size": experiment.batch, "workers": 8},
        "augment": {
            "crop": _CROPS[experiment.data],
            "scale": [0.5, 2.0],
            "flip": 0.5,
            "photometric": "mmseg",
            "padding": "last",
            "max_class_share": 0.75,
        },
        "student": {
            "model": "pspnet",
            "options": {"backbone": "resnet18", "family": "mmseg"},
            "pretrained": "checkpoints/mmseg/resnet18_v1c-b5776b93.pth",
        },
        "teacher": {"checkpoint": f"checkpoints/mmseg/{file}"},
        "distill": [term("cwd", experiment.weight, {"temperature": 1})],
        "task": {"auxiliary_weight": 0.4, "normalize": "all"},
        "optimizer": {
            "method": "sgd",
            "lr": 0.01,
            "momentum": 0.9,
            "weight_decay": 0.0005,
            "power": 0.9,
            "floor": 0.0001,
        },
        "training": {
            "steps": experiment.steps,
            "precision": 32,
            "validate_every": experiment.steps // 10,
            "checkpoint_every": 1000,
        },
    }


def _preset(experiment: Experiment) -> Preset:
    differs = _DIFFERS
    if experiment.name == "mmsegdistiller-r18-cwd":
        differs += (
            "; the original builds a teacher with a deep stem around the weights of one with a single convolution, "
            "whose trained stem it does not read; here the teacher is the file's"
        )
    return Preset(
        name=experiment.name,
        system=experiment.system,
        student="PSPNet-R18",
        teacher="PSPNet-R101",
        method="cwd",
        data=experiment.data,
        source=experiment.source,
        published=experiment.published,
        differs=differs,
        content=_content(experiment),
    )
