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
    mmrazor_connected,
    mmrazor_detection,
    segdistill,
    write,
)

from densekd.convert_config import convert_file
from densekd.presets import PRESETS
from densekd.recipe import parse_recipe

_CWD10 = "dict(type='ChannelWiseDivergence', tau=1, loss_weight=10)"
_PKD10 = "dict(type='PKDLoss', loss_weight=10)"
_RETINA50, _GFL50 = "retinanet/retinanet_r50_fpn_{}_coco.py", "gfl/gfl_r50_fpn_1x_coco.py"
_MGD = "dict(type='MGDConncetor', student_channels=256, teacher_channels=256, lambda_mgd=0.65)"
_V2 = ("--lambda-minibatch-channel 1.", "--lambda-memory-channel 0.1", "--lambda-channel-kd 100.")
_LARGE = "mobilenet_v3_large-bc2c3fd3.pth"
_ADVERSARIAL = ("--lambda-adv 0.001", "--lambda-d 0.1")
ORIGINALS = {
    "mmrazor-r18-cwd": ("razor.py", MMRAZOR_SEGMENTATION),
    "gfl-r101-r50-cwd-head": ("gfl.py", MMRAZOR_03_DETECTION),
    "gfl-r101-r50-cwd-fpn": (
        "gfl.py", mmrazor_detection(_GFL50, "gfl/gfl_r101_fpn_ms-2x_coco.py", GFL101, _CWD10, 5, "1x"),
    ),
    "retinanet-r101-r50-cwd": (
        "retina.py",
        mmrazor_detection(
            _RETINA50.format("1x"), "retinanet/retinanet_r101_fpn_2x_coco.py", RETINA101, _CWD10, 5, "1x"
        ),
    ),
    "retinanet-x101-r50-pkd": (
        "pkd.py",
        mmrazor_detection(
            _RETINA50.format("2x"), "retinanet/retinanet_x101-64x4d_fpn_1x_coco.py", RETINA_X101, _PKD10, 4, "2x"
        ),
    ),
    "retinanet-x101-r50-cwd": ("mdd.py", MMDET_DISTILLER),
    "segdistill-b0-pd": ("pd.py", segdistill("b0", "PDLoss")),
    "segdistill-b0-cd": ("cd.py", segdistill("b0", "CDLoss")),
    "segdistill-b0-cgd": ("cgd.py", segdistill("b0", "CGDLoss")),
    "segdistill-b0-cgd-sw": ("ws.py", segdistill("b0", "CGDLossWS")),
    "segdistill-b0-at": ("at.py", segdistill("b0", "ATLoss")),
    "segdistill-b0-ifvd": ("ifvd.py", segdistill("b0", "IFVDLoss")),
    "segdistill-psp-r50-cgd": ("psp.py", segdistill("psp", "CGDLoss", "{'group_size': 5}")),
    "segdistill-swin-t-cgd-sw": ("swin.py", segdistill("swin", "CGDLossWS")),
    "cirkd-r18-at": ("at.sh", cirkd("train_kd.py", "--lambda-kd 1.0", "--lambda-at 10000.")),
    "cirkd-r18-fitnet": ("fit.sh", cirkd("train_kd.py", "--lambda-kd 1.0", "--lambda-fitnet 10.")),
    "cirkd-r18-skd": ("skd.sh", cirkd("train_kd.py", "--lambda-kd 1.", *_ADVERSARIAL, "--lambda-skd 10")),
    "cirkd-r18-ifvd": ("ifv.sh", cirkd("train_kd.py", "--lambda-kd 1.", *_ADVERSARIAL, "--lambda-ifv 20")),
    "cirkd-r18-cwd": (
        "cwd.sh",
        cirkd("train_kd.py", "--lambda-kd 1.", *_ADVERSARIAL, "--lambda-cwd-fea 50.", "--lambda-cwd-logit 3."),
    ),
    "cirkd-r18-dsd": ("dsd.sh", cirkd("train_kd.py", "--lambda-psd 1000.", "--lambda-csd 10.")),
    "cirkd-r18-cirkd": ("cirkd.sh", cirkd("train_cirkd.py")),
    "cirkdv2-r18": ("v2.sh", cirkd("train_cirkdv2.py", *CIRKDV2_OPTIONS)),
    "hwd-r18": ("hwd.sh", hwd("train_hwd.py", HWD_OPTIONS)),
    "retinanet-x101-r50-mgd": (
        "mgd.py",
        mmrazor_connected(
            "retinanet/retinanet_r50_fpn_2x_coco.py schedule_2x", "retinanet/retinanet_x101-64x4d_fpn_1x_coco.py",
            RETINA_X101, "dict(type='MGDLoss', alpha_mgd=0.00002)", [_MGD] * 5, "preds_S preds_T",
        ),
    ),
    "segdistill-b0-group-50": ("g50.py", segdistill("b0", "CGDLoss", "{'group_size': 50}")),
    "segdistill-b0-w1-t4": ("w1t4.py", segdistill("b0", "CGDLoss", "dict(alpha=1, tau=4)")),
    "segdistill-psp-r50-at": ("pspat.py", segdistill("psp", "ATLoss")),
    "segdistill-psp-r50-ifvd": ("pspifvd.py", segdistill("psp", "IFVDLoss")),
    "segdistill-swin-t-cd": ("swincd.py", segdistill("swin", "CDLoss")),
    "cirkd-mbv2-skd": (
        "mbv2.sh",
        cirkd("train_kd.py", "--lambda-kd 1.", *_ADVERSARIAL, "--lambda-skd 10", "--student-model deeplab_mobile",
              "--student-backbone mobilenetv2").replace("resnet18-imagenet", "mobilenetv2-imagenet"),
    ),
    "cirkdv2-mbv3l-ade20k": (
        "mbv3l.sh",
        cirkd("train_cirkdv2.py", "--dataset ade20k", "--crop-size 512 512", "--batch-size 16", "--lr 0.02",
              "--max-iterations 80000", "--lambda-fitnet 10", *_V2, "--student-model deeplabv3_mobilenet_ssseg",
              "--student-backbone mobilenetv3_large")
        .replace("resnet18-imagenet.pth", _LARGE).replace("_citys_", "_ade20k_"),
    ),
    "cirkdv2-upernet-r18": (
        "upernet.sh", cirkd("train_cirkdv2.py", *CIRKDV2_OPTIONS, "--student-model upernet_lite"),
    ),
    "hwd-r18-skd": ("skd.sh", hwd("train_skd.py")),
    "hwd-r18-ifvd": ("ifvd.sh", hwd("train_ifvd.py")),
    "hwd-r18-cwd": ("cwd.sh", hwd("train_cwd.py")),
    "hwd-r18-dist": ("dist.sh", hwd("train_dist.py")),
    "hwd-r18-mgd": ("mgd.sh", hwd("train_mgd.py")),
    "hwd-r18-cirkd": ("cirkd.sh", hwd("train_cirkd.py")),
    "hwd-psp-mobile": (
        "mobile.sh",
        hwd("train_hwd.py", HWD_OPTIONS + " --student-model psp_mobile --student-backbone mobile")
        .replace("resnet18-imagenet", "mobilenetv2-imagenet"),
    ),
    "td-r18-cwd-feat": ("td.sh", "bash exp_cwd.sh channel kl 35 8 False False True v1"),
    "td-r18-cwd": ("td.sh", "bash exp_cwd.sh channel kl 3 4 False False False v1"),
    "td-r18-cwd-gan-pixel": ("td.sh", "bash exp_cwd.sh channel kl 3 4 True True False v1"),
}  # fmt: skip


@pytest.mark.parametrize("name", ORIGINALS)
def test_an_original_becomes_the_shipped_recipe(name: str, tmp_path: Path) -> None:
    converted = convert_file(write(tmp_path, *ORIGINALS[name]))
    assert converted.report.left == []
    ours = comparable(parse_recipe(converted.content, name))
    shipped = comparable(parse_recipe(PRESETS[name].content, name))
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
