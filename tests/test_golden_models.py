"""Every published model of a golden set: recognized from a file in its published container, loaded, compared.

``DENSEKD_GOLDEN`` names another folder than ``tests/golden``; it holds ``models/index.json``.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from golden_models import FOLDER, Rules, published_state, read_json, renamed, stored
from torch import Tensor, nn

from densekd.distill.taps import Taps
from densekd.models.detection.dense import Maps, candidates
from densekd.models.open import open_model
from densekd.ops.atss import atss
from densekd.ops.boxes import Boxes, Detections
from densekd.tasks.common import upsample

MODELS: dict[str, dict[str, Any]] = json.loads((FOLDER / "index.json").read_text(encoding="utf-8"))
PRESENT = [name for name in MODELS if (FOLDER / name).is_dir()]
DETECTORS = [name for name in PRESENT if MODELS[name]["family"].startswith("mmdet")]
SEGMENTORS = [name for name in PRESENT if name not in DETECTORS]
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
LEVELS: Rules = [
    (r"out\.(?:rpn_)?(cls|reg)\.(\d)", r"\1.\2"),
    (r"feat\.fpn\.(\d)", r"neck.\1"),
    (r"feat\.backbone\.(\d)", r"features.\1"),
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


@pytest.mark.parametrize("name", SEGMENTORS)
def test_recognised_loaded_and_equal(name: str, tmp_path: Path) -> None:
    path = publish(name, tmp_path)
    opened = open_model(path)
    model: Any = opened.model
    facts, expected = read_json(name, "facts.json"), stored(name)
    assert len(opened.classes.names) == facts["num_classes"]
    model.normalize = nn.Identity()
    images, full = expected.pop("input"), expected.pop("out.logits_full_sub")
    if (index := expected.pop("buffer.relative_position_index", None)) is not None:
        assert torch.equal(model.backbone.stages[0][0].attn.relative_position_index, index)
    if (teacher_features := expected.pop("out.teacher_logits", None)) is not None:
        teacher: Any = open_model(path.with_name(f"{path.name}#teacher")).model
        teacher.normalize = nn.Identity()
        with torch.no_grad():
            torch.testing.assert_close(
                teacher(images), teacher_features, rtol=0, atol=1e-5 * teacher_features.abs().max().item()
            )
    paths = {key: tap_of(key, opened.config.options.get("backbone", "")) for key in expected}
    with torch.no_grad():
        logits, read = Taps(model, paths.values())(images)
    results = {key: read[path][:, :: facts["channel_stride"].get(key, 1)] for key, path in paths.items()}
    results["out.logits_full_sub"] = upsample(model, logits, images.shape[-2:])[:, :, 3::16, 5::16]
    for key, theirs in (expected | {"out.logits_full_sub": full}).items():
        torch.testing.assert_close(results[key], theirs, rtol=0, atol=1e-5 * theirs.abs().max().item(), msg=key)


def assert_close(ours: Tensor, theirs: Tensor, what: str) -> None:
    """Compare within 1e-5 of the largest entry."""
    largest = theirs.abs().max().item() if theirs.numel() else 0.0
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * largest, msg=lambda text: f"{what}: {text}")


def load_detector(name: str, folder: Path) -> Any:
    """Recognise and load a detector and take its normalization off."""
    opened = open_model(publish(name, folder))
    model: Any = opened.model
    facts = read_json(name, "facts.json")
    assert len(opened.classes.names) == facts["num_classes"]
    assert sum(p.numel() for p in model.parameters()) == facts["params"]
    model.normalize = nn.Identity()
    return model


def is_map(key: str) -> bool:
    return any(re.fullmatch(pattern, key) for pattern, _ in LEVELS)


@pytest.mark.parametrize("name", DETECTORS)
def test_detector_maps_and_anchors(name: str, tmp_path: Path) -> None:
    model, expected = load_detector(name, tmp_path), stored(name)
    channel_stride = read_json(name, "facts.json")["channel_stride"]
    paths = {key: renamed(key, LEVELS) for key in expected if is_map(key)}
    assert len(paths) >= 17  # five levels of three kinds, and backbone maps
    with torch.no_grad():
        output, read = Taps(model, paths.values())(expected["input"])
    for key, path in paths.items():
        assert_close(read[path][:, :: channel_stride.get(key, 1)], expected[key], key)
    assert_close(torch.cat(model.head.anchors(output.cls)), expected["anchors"], "anchors")
    if "roi_feats" in expected:
        with torch.no_grad():
            scores, deltas = model.head.box(expected["roi_feats"])
        assert_close(scores, expected["out.roi_cls"], "out.roi_cls")
        assert_close(deltas.flatten(1), expected["out.roi_reg"], "out.roi_reg")


@pytest.mark.parametrize("name", [name for name in DETECTORS if "_gfl_" in name])
def test_detections(name: str, tmp_path: Path) -> None:
    model, expected = load_detector(name, tmp_path), stored(name)
    sizes = torch.tensor([meta["img_shape"] for meta in read_json(name, "facts.json")["img_metas"]])
    with torch.no_grad():
        output = model(expected["input"])
        boxes = model.head.boxes(output)
    assert_close(torch.cat(boxes, 1), expected["out.boxes_all"], "out.boxes_all")
    before = candidates(output, model.head.num_classes, boxes, sizes, model.head.selection)
    for image, (found, kept) in enumerate(zip(before, model.detect(output, sizes), strict=True)):
        assert len(found.scores) == expected[f"det.prenms.count.{image}"].item()
        order = found.scores.sort(descending=True, stable=True).indices[: len(expected[f"det.prenms.scores.{image}"])]
        for stage, detections in (("det.prenms", Detections(*(x[order] for x in found))), ("det", kept)):
            assert_close(detections.boxes, expected[f"{stage}.boxes.{image}"], f"{stage}.boxes")
            assert_close(detections.scores, expected[f"{stage}.scores.{image}"], f"{stage}.scores")
            assert torch.equal(detections.labels, expected[f"{stage}.labels.{image}"])


@pytest.mark.parametrize("name", [name for name in DETECTORS if "_gfl_" in name])
def test_detector_losses_targets_and_gradients(name: str, tmp_path: Path) -> None:
    model, expected = load_detector(name, tmp_path), stored(name)
    levels = range(len(model.head.scales))
    with torch.no_grad():
        output = model(expected["input"])
    maps = Maps(*(tuple(x.requires_grad_() for x in kind) for kind in output))
    images = range(len(expected["input"]))
    boxes, labels = ([expected[f"gt.{what}.{k}"] for k in images] for what in ("boxes", "labels"))
    losses = model.losses(maps, Boxes(boxes, labels, torch.zeros(len(images), 2)))
    for ours, theirs in (("cls", "loss_cls"), ("bbox", "loss_bbox"), ("dfl", "loss_dfl")):
        assert_close(losses[ours], expected[f"loss.{theirs}"].sum(), theirs)
    total = torch.stack(list(losses.values())).sum()
    assert_close(total[None], expected["loss.total"], "loss.total")
    total.backward()
    for kind, tensors in zip(("cls", "reg"), maps, strict=True):
        for k in levels:
            gradient = tensors[k].grad
            assert_close(gradient.norm()[None], expected[f"grad.{kind}_norm.{k}"], f"grad.{kind}_norm.{k}")
            if f"grad.{kind}.{k}" in expected:
                assert_close(gradient, expected[f"grad.{kind}.{k}"], f"grad.{kind}.{k}")
    anchors = model.head.anchors(maps.cls)
    for image, (box, label) in enumerate(zip(boxes, labels, strict=True)):
        assigned = atss(torch.cat(anchors), [len(x) for x in anchors], box)
        positive = assigned >= 0
        background = torch.full_like(assigned, model.head.num_classes)
        assert torch.equal(label[assigned].where(positive, background), expected["target.labels"][image])
        assert torch.equal(box[assigned] * positive[:, None], expected["target.boxes"][image])
    assert expected["target.label_weights"].eq(1).all()


def test_summary(capsys: pytest.CaptureFixture[str]) -> None:
    absent = len(MODELS) - len(PRESENT)
    with capsys.disabled():
        print(
            f"\ngolden models: {len(SEGMENTORS)} segmentation models and {len(DETECTORS)} detectors compared"
            f"{f', {absent} listed but not in this copy' if absent else ''}"
        )
    assert PRESENT
