"""The originals' headline experiments become the shipped recipes: each number, but for names and paths."""

from pathlib import Path
from typing import Any

import pytest
from original_configs import (
    CIRKDV2_OPTIONS,
    GFL101,
    HWD_OPTIONS,
    MMDET_DISTILLER,
    MMRAZOR_03_DETECTION,
    MMRAZOR_SEGMENTATION,
    MMSEG_DISTILLER,
    RETINA101,
    RETINA_X101,
    cirkd,
    hwd,
    mmrazor_detection,
    segdistill,
    write,
)

from densekd.convert_config import convert_file
from densekd.recipe import load_recipe, parse_recipe
from densekd.recipe.shipped import shipped_recipe

_CWD10 = "dict(type='ChannelWiseDivergence', tau=1, loss_weight=10)"
_PKD10 = "dict(type='PKDLoss', loss_weight=10)"
_RETINA50, _GFL50 = "retinanet/retinanet_r50_fpn_{}_coco.py", "gfl/gfl_r50_fpn_1x_coco.py"
_ADVERSARIAL = ("--lambda-adv 0.001", "--lambda-d 0.1")
ORIGINALS = {
    "cityscapes/mmrazor-r18-cwd": ("razor.py", MMRAZOR_SEGMENTATION),
    "coco/gfl-r101-r50-cwd-head": ("gfl.py", MMRAZOR_03_DETECTION),
    "coco/gfl-r101-r50-cwd-fpn": (
        "gfl.py", mmrazor_detection(_GFL50, "gfl/gfl_r101_fpn_ms-2x_coco.py", GFL101, _CWD10, 5, "1x"),
    ),
    "coco/retinanet-r101-r50-cwd": (
        "retina.py",
        mmrazor_detection(
            _RETINA50.format("1x"), "retinanet/retinanet_r101_fpn_2x_coco.py", RETINA101, _CWD10, 5, "1x"
        ),
    ),
    "coco/retinanet-x101-r50-pkd": (
        "pkd.py",
        mmrazor_detection(
            _RETINA50.format("2x"), "retinanet/retinanet_x101-64x4d_fpn_1x_coco.py", RETINA_X101, _PKD10, 4, "2x"
        ),
    ),
    "coco/retinanet-x101-r50-cwd": ("mdd.py", MMDET_DISTILLER),
    "ade20k/segdistill-b0-pd": ("pd.py", segdistill("b0", "PDLoss")),
    "ade20k/segdistill-b0-cd": ("cd.py", segdistill("b0", "CDLoss")),
    "ade20k/segdistill-b0-cgd": ("cgd.py", segdistill("b0", "CGDLoss")),
    "ade20k/segdistill-b0-cgd-sw": ("ws.py", segdistill("b0", "CGDLossWS")),
    "ade20k/segdistill-b0-at": ("at.py", segdistill("b0", "ATLoss")),
    "ade20k/segdistill-b0-ifvd": ("ifvd.py", segdistill("b0", "IFVDLoss")),
    "ade20k/segdistill-psp-r50-cgd": ("psp.py", segdistill("psp", "CGDLoss", "{'group_size': 5}")),
    "ade20k/segdistill-swin-t-cgd-sw": ("swin.py", segdistill("swin", "CGDLossWS")),
    "cityscapes/cirkd-r18-at": ("at.sh", cirkd("train_kd.py", "--lambda-kd 1.0", "--lambda-at 10000.")),
    "cityscapes/cirkd-r18-fitnet": ("fit.sh", cirkd("train_kd.py", "--lambda-kd 1.0", "--lambda-fitnet 10.")),
    "cityscapes/cirkd-r18-skd": ("skd.sh", cirkd("train_kd.py", "--lambda-kd 1.", *_ADVERSARIAL, "--lambda-skd 10")),
    "cityscapes/cirkd-r18-ifvd": ("ifv.sh", cirkd("train_kd.py", "--lambda-kd 1.", *_ADVERSARIAL, "--lambda-ifv 20")),
    "cityscapes/cirkd-r18-cwd": (
        "cwd.sh",
        cirkd("train_kd.py", "--lambda-kd 1.", *_ADVERSARIAL, "--lambda-cwd-fea 50.", "--lambda-cwd-logit 3."),
    ),
    "cityscapes/cirkd-r18-dsd": ("dsd.sh", cirkd("train_kd.py", "--lambda-psd 1000.", "--lambda-csd 10.")),
    "cityscapes/cirkd-r18-cirkd": ("cirkd.sh", cirkd("train_cirkd.py")),
    "cityscapes/cirkdv2-r18": ("v2.sh", cirkd("train_cirkdv2.py", *CIRKDV2_OPTIONS)),
    "cityscapes/hwd-r18": ("hwd.sh", hwd("train_hwd.py", HWD_OPTIONS)),
    "cityscapes/td-r18-cwd": ("td.sh", "bash exp_cwd.sh channel kl 3 4 False False False v1"),
    "cityscapes/td-r18-cwd-gan-pixel": ("td.sh", "bash exp_cwd.sh channel kl 3 4 True True False v1"),
}  # fmt: skip


@pytest.mark.parametrize("name", ORIGINALS)
def test_an_original_becomes_the_shipped_recipe(name: str, tmp_path: Path) -> None:
    converted = convert_file(write(tmp_path, *ORIGINALS[name]))
    assert converted.report.left == []
    ours = comparable(parse_recipe(converted.content, name))
    shipped = comparable(load_recipe(shipped_recipe(name)))
    differing = {
        key: (ours.get(key), shipped.get(key)) for key in {*ours, *shipped} if ours.get(key) != shipped.get(key)
    }
    assert differing == {}


def comparable(recipe: Any) -> dict[str, Any]:
    """Return every value of a recipe by its path, without names and folders."""
    flat: dict[str, Any] = {}
    _flatten(recipe.model_dump(mode="json"), "", flat)
    for key in ("name", "data.root"):
        del flat[key]
    for key in ("teacher.checkpoint", "student.pretrained"):
        if isinstance(flat.get(key), str):
            flat[key] = Path(flat[key]).name
    # What is the default is the same whether it is written or not.
    flat.setdefault("student.options.family", "mmseg")
    for key in [key for key in flat if key.endswith("no_decay")]:
        flat[key] = sorted(flat[key])
    return flat


def _flatten(value: Any, path: str, flat: dict[str, Any]) -> None:
    if isinstance(value, dict) and value:
        for key, part in value.items():
            _flatten(part, f"{path}.{key}".lstrip("."), flat)
    elif isinstance(value, list) and any(isinstance(part, dict) for part in value):
        for index, part in enumerate(value):
            _flatten(part, f"{path}.{index}", flat)
    else:
        flat[path] = value


def test_the_segmentation_distiller_gives_mmrazors_recipe(tmp_path: Path) -> None:
    path = write(tmp_path, "msd.py", MMSEG_DISTILLER)
    ours = comparable(parse_recipe(convert_file(path).content, "msd"))
    razor = write(tmp_path, "razor.py", MMRAZOR_SEGMENTATION)
    assert ours == comparable(parse_recipe(convert_file(razor).content, "razor"))
