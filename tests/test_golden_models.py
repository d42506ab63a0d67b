"""Every published model of a golden set: recognised from a file in its published container, loaded, compared.

``DENSEKD_GOLDEN`` names another folder than ``tests/golden``; it holds ``models/index.json``.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent / "models"))

from golden_models import FOLDER, Rules, published_state, read_json, renamed, stored

from densekd.models.published import load_published
from densekd.taps import Taps
from densekd.tasks import enlarge

MODELS: dict[str, dict[str, Any]] = json.loads((FOLDER / "index.json").read_text(encoding="utf-8"))
PRESENT = [name for name in MODELS if (FOLDER / name).is_dir()]
# Projects that wrap the state dict; the others save it bare.
WRAPPED = ("mmsegmentation", "mmdetection", "SegDistill")
TAPS: Rules = [
    (r"out\.logits", "logits"),
    (r"out\.aux_logits", "aux"),
    (r"feat\.pre_logits", "pre_logits"),
    (r"feat\.maxpool", "backbone.maxpool"),
    (r"feat\.backbone\.(\d)", r"features.\1"),
    (r"feat\.backbone_out", "features.3"),
    *((rf"feat\.(?:c|layer){k + 1}", f"features.{k}") for k in range(4)),
]
# Blocks of the mobile backbones, counted through their stages.
STAGES = {
    "mobilenetv2_100": (1, 2, 3, 4, 3, 3, 1),
    "mobilenetv3_small_100": (1, 2, 3, 2, 3, 1),
    "mobilenetv3_large_100": (1, 2, 3, 4, 2, 3, 1),
}


def tap_of(stored: str, backbone: str) -> str:
    """Return our tap of what is stored under a name."""
    number = re.fullmatch(r"feat\.(?:layer|features)(\d+)", stored)
    if number and backbone in STAGES:
        places = [(stage, block) for stage, blocks in enumerate(STAGES[backbone]) for block in range(blocks)]
        return "backbone.blocks.{}.{}".format(*places[int(number[1]) - 1])
    return renamed(stored, TAPS)


def publish(name: str, folder: Path) -> Path:
    """Write the checkpoint file as the project writes it."""
    state = published_state(name)
    wrapped = MODELS[name]["family"].startswith(WRAPPED)
    path = folder / f"{name}.pth"
    torch.save({"meta": {"epoch": 1, "iter": 80000}, "state_dict": state} if wrapped else state, path)
    return path


@pytest.mark.parametrize("name", PRESENT)
def test_recognised_loaded_and_equal(name: str, tmp_path: Path) -> None:
    if MODELS[name]["family"].startswith("mmdet"):
        pytest.skip("a detector")
    path = publish(name, tmp_path)
    model, found, _ = load_published(path)
    facts, expected = read_json(name, "facts.json"), stored(name)
    assert found.options["num_classes"] == facts["num_classes"]
    model.normalise = nn.Identity()
    images, full = expected.pop("input"), expected.pop("out.logits_full_sub")
    if (index := expected.pop("buffer.relative_position_index", None)) is not None:
        assert torch.equal(model.backbone.stages[0][0].attn.relative_position_index, index)
    if (taught := expected.pop("out.teacher_logits", None)) is not None:
        teacher, _, _ = load_published(path.with_name(f"{path.name}#teacher"))
        teacher.normalise = nn.Identity()
        with torch.no_grad():
            torch.testing.assert_close(teacher(images), taught, rtol=0, atol=1e-5 * taught.abs().max().item())
    paths = {key: tap_of(key, found.options.get("backbone", "")) for key in expected}
    with torch.no_grad():
        logits, read = Taps(model, paths.values())(images)
    results = {key: read[path][:, :: facts["channel_stride"].get(key, 1)] for key, path in paths.items()}
    results["out.logits_full_sub"] = enlarge(model, logits, images.shape[-2:])[:, :, 3::16, 5::16]
    for key, theirs in (expected | {"out.logits_full_sub": full}).items():
        torch.testing.assert_close(results[key], theirs, rtol=0, atol=1e-5 * theirs.abs().max().item(), msg=key)


def test_summary(capsys: pytest.CaptureFixture[str]) -> None:
    detectors = [name for name in PRESENT if MODELS[name]["family"].startswith("mmdet")]
    absent = len(MODELS) - len(PRESENT)
    with capsys.disabled():
        print(
            f"\ngolden models: {len(PRESENT) - len(detectors)} compared, {len(detectors)} detectors skipped"
            f"{f', {absent} listed but not in this copy' if absent else ''}"
        )
    assert len(PRESENT) > len(detectors)
