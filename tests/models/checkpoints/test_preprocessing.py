"""Input conventions of OpenMMLab's files: what the configuration or the name says is used, silence is said."""

from pathlib import Path
from typing import Any

import pytest
import torch
from golden_models import published_state
from torch import Tensor
from typer.testing import CliRunner

from densekd.builders.build import build
from densekd.cli.app import app
from densekd.models import MODELS, contract
from densekd.models.checkpoints.preprocessing import find_preprocessing
from densekd.models.families import CAFFE_OPENMMLAB, IMAGENET, Convention
from densekd.models.open import open_model
from densekd.recipe import parse_recipe

# mmdetection 2.x, as mmcv writes the configuration into a checkpoint.
CAFFE_2X = """
model = dict(
    type='RetinaNet',
    backbone=dict(
        type='ResNet', depth=50, norm_cfg=dict(type='BN', requires_grad=False), norm_eval=True, style='caffe',
        init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://detectron2/resnet50_caffe')),
    bbox_head=dict(bbox_coder=dict(target_means=[0.0, 0.0, 0.0, 0.0], target_stds=[1.0, 1.0, 1.0, 1.0])))
img_norm_cfg = dict(
    mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], to_rgb=False)
"""
# mmdetection 3.x, as mmengine does.
CAFFE_3X = """
model = dict(
    type='RetinaNet',
    data_preprocessor=dict(
        type='DetDataPreprocessor', mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0],
        bgr_to_rgb=False, pad_size_divisor=32),
    backbone=dict(type='ResNet', depth=50, style='caffe'))
"""
PYTORCH = """
model = dict(backbone=dict(type='ResNet', depth=50, style='pytorch'))
img_norm_cfg = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
"""
REGNET = """
model = dict(backbone=dict(type='ResNeXt', depth=101, style='pytorch'))
img_norm_cfg = dict(mean=[103.53, 116.28, 123.675], std=[57.375, 57.12, 58.395], to_rgb=False)
"""
NAMED = "retinanet_r50_caffe_fpn_1x_coco_20200531-f11027c5.pth"
PLAIN = "retinanet_r50_fpn_1x_coco_20200130-c2398f9e.pth"


def to_mmdet(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a RetinaNet of ours under mmdetection's names."""
    published = {}
    for key, value in state.items():
        part, _, rest = key.partition(".")
        if part == "neck":
            kind, number, leaf = rest.split(".")
            place = {"lateral": "lateral_convs", "output": "fpn_convs", "coarser": "fpn_convs"}[kind]
            shift = 3 if kind == "coarser" else 0
            key = f"neck.{place}.{int(number) + shift}.conv.{leaf}"
        elif part == "head" and "tower" in rest:
            tower, number, _, leaf = rest.split(".")
            key = f"bbox_head.{tower.removesuffix('_tower')}_convs.{number}.conv.{leaf}"
        elif part == "head":
            key = f"bbox_head.retina_{rest}"
        published[key] = value
    return published


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return to_mmdet(MODELS["retinanet"](2, "resnet50", 16, 1).state_dict())


def saved(state: dict[str, Tensor], path: Path, **meta: Any) -> Path:
    torch.save({"meta": {"epoch": 12, **meta}, "state_dict": state}, path)
    return path


def is_caffe(model: Any) -> bool:
    block = model.backbone.layer2[0]
    strides = (block.conv1.stride, block.conv2.stride)
    assert strides in (((2, 2), (1, 1)), ((1, 1), (2, 2)))
    return strides == ((2, 2), (1, 1)) and contract.convention(model) == CAFFE_OPENMMLAB


@pytest.mark.parametrize(
    ("name", "meta", "source"),
    [
        (NAMED, {}, "the file's name"),
        (PLAIN, {"config": CAFFE_2X}, "the configuration in the file"),
        (PLAIN, {"cfg": CAFFE_3X}, "the configuration in the file"),
        (NAMED, {"config": "not ( python"}, "the file's name"),
    ],
    ids=["name", "mmcv", "mmengine", "garbled"],
)
def test_caffe_models_are_built_as_such_and_said(
    state: dict[str, Tensor], tmp_path: Path, name: str, meta: dict[str, Any], source: str
) -> None:
    opened = open_model(saved(state, tmp_path / name, **meta))
    assert is_caffe(opened.model)
    assert opened.config.options["family"] == "mmdet_caffe"
    (note,) = opened.notes
    assert f"as {source} says, it takes BGR pixels with mean 103.53, 116.28, 123.675 and deviation 1, 1, 1" in note
    assert "stride in the first convolution" in note


def test_a_configuration_that_says_the_usual_needs_no_note(state: dict[str, Tensor], tmp_path: Path) -> None:
    opened = open_model(saved(state, tmp_path / NAMED, config=PYTORCH))
    assert not is_caffe(opened.model)
    assert contract.convention(opened.model) == IMAGENET
    assert opened.notes == ()


def test_another_convention_is_used_as_it_is_written(state: dict[str, Tensor], tmp_path: Path) -> None:
    opened = open_model(saved(state, tmp_path / PLAIN, config=REGNET))
    expected = Convention("bgr", IMAGENET.mean[::-1], IMAGENET.std[::-1])
    found = contract.convention(opened.model)
    assert found is not None
    assert found.order == "bgr"
    assert found.mean == pytest.approx(expected.mean)
    assert found.std == pytest.approx(expected.std)
    assert "deviation 57.375, 57.12, 58.395" in opened.notes[0]
    assert "family" not in opened.config.options


def test_silence_is_said_with_what_to_do(state: dict[str, Tensor], tmp_path: Path) -> None:
    path = saved(state, tmp_path / PLAIN)
    opened = open_model(path)
    assert contract.convention(opened.model) == IMAGENET
    (note,) = opened.notes
    assert "nothing in the file says how its images were normalized" in note
    assert "'options: {family: mmdet_caffe}'" in note
    # What the note says helps, and then there is nothing to say.
    told = open_model(path, options={"family": "mmdet_caffe"})
    assert is_caffe(told.model)
    assert told.notes == ()
    assert open_model(path, options={"input": "imagenet"}).notes == ()


def test_a_distillers_configuration_of_both_styles_is_said(state: dict[str, Tensor], tmp_path: Path) -> None:
    opened = open_model(saved(state, tmp_path / PLAIN, config=CAFFE_2X + PYTORCH))
    assert not is_caffe(opened.model)
    assert "networks of both styles" in opened.notes[0]


def test_notes_reach_people(
    state: dict[str, Tensor], tmp_path: Path, detection_recipe: dict[str, Any], boxes_root: Path
) -> None:
    path = saved(state, tmp_path / NAMED)
    for arguments in (["inspect", path, "--size", "64x64"], ["convert", path, tmp_path / "out"]):
        result = CliRunner(env={"COLUMNS": "400"}).invoke(app, [str(a) for a in arguments])
        assert result.exit_code == 0, result.output + str(result.exception)
        assert "it takes BGR pixels" in result.output.replace("\n", " ")
    # A converted model knows without being told.
    assert is_caffe(open_model(tmp_path / "out").model)
    detection_recipe["teacher"] = {"checkpoint": str(path)}
    detection_recipe["distill"] = [
        {"method": "pkd", "weight": 1, "student": "neck.0", "teacher": "neck.0"},
    ]
    (note,) = build(parse_recipe(detection_recipe, "test")).notes
    assert "it takes BGR pixels" in note


def test_a_segmentors_convention_is_read_too(tmp_path: Path) -> None:
    state = published_state("mmseg_pspnet_r18-d8")
    half = "img_norm_cfg = dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5], to_rgb=True)"
    opened = open_model(saved(state, tmp_path / "a.pth", config=half))
    assert contract.convention(opened.model) == Convention("rgb", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert "it takes RGB pixels with mean 127.5" in opened.notes[0]
    # Its family says it where the file does not.
    assert open_model(saved(state, tmp_path / "b.pth")).notes == ()
    assert open_model(saved(state, tmp_path / "c.pth", config=PYTORCH)).notes == ()
    # The style is one of detectors' bottlenecks: a segmentation model keeps its family.
    opened = open_model(saved(state, tmp_path / "d.pth", config=CAFFE_2X))
    assert opened.config.options["family"] == "mmseg"
    assert contract.convention(opened.model) == CAFFE_OPENMMLAB


@pytest.mark.parametrize(
    "name", ["faster_rcnn_r50_caffe_fpn.pth", "CAFFE-r50.pth", "x.caffe.pth", "resnet50_caffe-788b5fa3.pth"]
)
def test_names_that_say_caffe(name: str) -> None:
    assert find_preprocessing({}, name).style == "caffe"
    assert find_preprocessing({}, name.lower().replace("caffe", "caffeine")).style is None


def test_a_configuration_is_never_run(tmp_path: Path) -> None:
    text = f"open('{tmp_path / 'witness'}', 'w')\nimg_norm_cfg = dict(mean=__import__('os').getcwd(), std=[1, 1, 1])"
    assert find_preprocessing({"config": text}, "a.pth").convention is None
    assert not (tmp_path / "witness").exists()


def test_a_file_under_a_name_says_it_too(
    state: dict[str, Tensor], tmp_path: Path, detection_recipe: dict[str, Any]
) -> None:
    """The architecture in the recipe or the call changes nothing in what the file knows."""
    path = saved(state, tmp_path / NAMED)
    options = {"backbone": "resnet50", "channels": 16, "depth": 1}
    opened = open_model(path, model="retinanet", options=options)
    assert is_caffe(opened.model)
    assert "it takes BGR pixels" in opened.notes[0]
    detection_recipe["student"] = {"model": "retinanet", "options": options, "checkpoint": str(path)}
    built = build(parse_recipe(detection_recipe, "test"))
    assert is_caffe(built.distiller.student)
    assert "it takes BGR pixels" in built.notes[0]
    assert built.package.options["family"] == "mmdet_caffe"


def test_a_backbone_of_caffe_is_said(tmp_path: Path, detection_recipe: dict[str, Any]) -> None:
    options = {"backbone": "resnet50", "channels": 16, "depth": 1}
    model: Any = MODELS["retinanet"](2, **options)
    torch.save(model.backbone.state_dict(), tmp_path / "resnet50_caffe-788b5fa3.pth")
    source = str(tmp_path / "resnet50_caffe-788b5fa3.pth")
    detection_recipe["student"] = {"model": "retinanet", "options": options, "pretrained": source}
    (note,) = build(parse_recipe(detection_recipe, "test")).notes
    assert f"pretrained: {source} is a network of Caffe, as its name says" in note
    detection_recipe["student"]["options"] = {**options, "family": "mmdet_caffe"}
    assert build(parse_recipe(detection_recipe, "test")).notes == ()
