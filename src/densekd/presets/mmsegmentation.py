"""Presets of MMRazor's and mmsegmentation-distiller's segmentation: CWD from PSPNet-R101 to -R18."""

from densekd.presets.preset import Preset, Section, Term, make_recipe

_WEIGHTS = "checkpoints/mmseg"
_CITYSCAPES_TEACHER = "pspnet_r101-d8_512x1024_80k_cityscapes_20200606_112211-e1e1100f.pth"
_CITYSCAPES_TEACHER_B = "pspnet_r101b-d8_512x1024_80k_cityscapes_20201226_170012-3a4d38ab.pth"
_ADE20K_TEACHER = "pspnet_r101-d8_512x512_160k_ade20k_20200615_100650-967c316f.pth"
_DIFFERS = (
    "the teacher is in evaluation mode throughout",
    "checkpoints every 1000 steps, so that an interruption costs less",
)
_DISTILLER = "configs/distiller/cwd"
_RAZOR = "cwd_logits_pspnet_r101-d8_pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py"
_DEEPSPARK = "bash tools/dist_train.sh (the same configuration) 8, as DeepSparkHub runs it"


def _cwd(weight: int) -> list[Term]:
    return [{"method": "cwd", "weight": weight, "options": {"temperature": 1}}]


def _sections(data: Section, crop: list[int], teacher: str, steps: int) -> dict[str, Section]:
    """Return what all experiments of the family share."""
    return {
        "data": data,
        "augment": {
            "crop": crop,
            "scale": [0.5, 2.0],
            "flip": 0.5,
            "photometric": True,
            "max_class_share": 0.75,
        },
        "student": {
            "model": "pspnet",
            "options": {"backbone": "resnet18", "family": "mmseg"},
            "pretrained": f"{_WEIGHTS}/resnet18_v1c-b5776b93.pth",
        },
        "teacher": {"checkpoint": f"{_WEIGHTS}/{teacher}"},
        "task": {"auxiliary_weight": 0.4, "normalize": "all"},
        "optimizer": {
            "method": "sgd",
            "lr": 0.01,
            "momentum": 0.9,
            "weight_decay": 0.0005,
            "power": 0.9,
            "floor": 0.0001,
            "warmup": 0,
        },
        "training": {"steps": steps, "validate_every": steps // 10, "checkpoint_every": 1000, "export": "last"},
    }


def _cityscapes(batch_size: int, teacher: str) -> dict[str, Section]:
    data = {"dataset": "cityscapes", "root": "data/cityscapes", "batch_size": batch_size, "workers": 8}
    return _sections(data, [512, 1024], teacher, 80000)


def _ade20k(batch_size: int, steps: int) -> dict[str, Section]:
    data = {
        "dataset": "ade20k",
        "root": "data/ade/ADEChallengeData2016",
        "short_side": 512,
        "batch_size": batch_size,
        "workers": 8,
    }
    return _sections(data, [512, 512], _ADE20K_TEACHER, steps)


def _preset(system: str, name: str, source: str, sections: dict[str, Section], published: str, *differs: str) -> Preset:
    return Preset(
        name=name,
        system=system,
        student="PSPNet-R18",
        teacher="PSPNet-R101b" if "r101b" in sections["teacher"]["checkpoint"] else "PSPNet-R101",
        method="CWD",
        data=sections["data"]["dataset"],
        source=source,
        recipe=make_recipe(name, sections),
        published=published,
        differs=(*_DIFFERS, *differs),
        file="cityscapes/mmrazor-r18-cwd" if name == "mmrazor-r18-cwd" else "",
    )


def mmrazor_segmentation() -> list[Preset]:
    """Return MMRazor's presets of segmentation."""
    terms = {"distill": _cwd(5)}
    four = _cityscapes(8, _CITYSCAPES_TEACHER) | terms
    eight = _cityscapes(16, _CITYSCAPES_TEACHER) | terms
    return [
        _preset("MMRazor", "mmrazor-r18-cwd", _RAZOR, four, "mIoU 75.54 (alone 74.87, teacher 79.76)"),
        _preset("MMRazor", "mmrazor-r18-cwd-8gpu", _DEEPSPARK, eight, "mIoU 75.32"),
    ]


def mmsegmentation_distiller() -> list[Preset]:
    """Return the presets of mmsegmentation-distiller, which publishes no scores."""
    system = "mmsegmentation-distiller"
    city = "cwd_psp_r101-d8_distill_psp_r18_d8_512_1024_80k_cityscapes.py"
    ade = "cwd_w_10_t_1_psp_r101-d8_distill_psp_r18_d8_512x512_{}_ade20k.py"
    presets = [
        _preset(
            system,
            "msd-r18-cwd-citys",
            f"{_DISTILLER}/{city}",
            _cityscapes(8, _CITYSCAPES_TEACHER_B) | {"distill": _cwd(5)},
            "",
            "the original builds a teacher with a deep stem and reads the weights of one with a single 7x7 stem, "
            "so its trained stem is not read; here the teacher is the file's",
        )
    ]
    # Images per GPU x GPUs, and thousands of steps.
    for images, gpus, thousands in ((2, 4, 40), (4, 4, 80), (8, 1, 40)):
        run = f"{images}x{gpus}_{thousands}k"
        differs: tuple[str, ...] = ()
        if gpus == 1:
            differs = ("the original names the data of Cityscapes for its 150 classes and cannot run; here ADE20K",)
        sections = _ade20k(images * gpus, 1000 * thousands) | {"distill": _cwd(10)}
        name = f"msd-r18-cwd-ade20k-{run.replace('_', '-')}"
        presets.append(_preset(system, name, f"{_DISTILLER}/{ade.format(run)}", sections, "", *differs))
    return presets
