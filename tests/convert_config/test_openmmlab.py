"""Configurations of OpenMMLab: both generations, what differs from the usual, and what is left."""

from pathlib import Path
from typing import Any

import pytest
from original_configs import MMDET_DISTILLER, MMRAZOR_SEGMENTATION, MMSEG_DISTILLER, segdistill, write

from densekd.convert_config import Converted, convert_command, convert_file
from densekd.errors import UserError

MODERN = """
_base_ = ['mmseg::_base_/models/pspnet_r50-d8.py', 'mmseg::_base_/datasets/cityscapes.py',
          'mmseg::_base_/schedules/schedule_40k.py', 'mmseg::_base_/default_runtime.py']
"""
OLD = """
_base_ = ['../_base_/models/deeplabv3_r50-d8.py', '../_base_/datasets/pascal_voc12_aug.py',
          '../_base_/default_runtime.py', '../_base_/schedules/schedule_20k.py']
"""
DETECTOR = """
_base_ = ['../_base_/datasets/coco_detection.py', '../_base_/schedules/schedule_1x.py',
          '../_base_/default_runtime.py', './retinanet_r50_fpn_1x_coco.py']
"""


def converted(folder: Path, text: str, name: str = "config.py", **options: Any) -> Converted:
    return convert_file(write(folder, name, text), **options)


def test_a_student_alone(tmp_path: Path) -> None:
    content = converted(tmp_path, MODERN).content
    assert "teacher" not in content
    assert content["student"] == {
        "model": "pspnet",
        "options": {"backbone": "resnet50", "family": "mmseg"},
        "pretrained": "checkpoints/mmseg/resnet50_v1c-2cccc1ad.pth",
    }
    training = {"steps": 40000, "precision": 32, "validate_every": 4000, "checkpoint_every": 4000}
    assert content["training"] == training


def test_the_older_keys(tmp_path: Path) -> None:
    content = converted(tmp_path, OLD, "deeplabv3_r50-d8_512x512_20k_voc12aug.py").content
    data = {"dataset": "voc", "root": "data/VOCdevkit/VOC2012", "train": "trainaug", "short_side": 512}
    assert content["data"] == {**data, "batch_size": 16, "workers": 8}
    assert content["student"]["model"] == "deeplabv3"
    assert content["optimizer"]["floor"] == 1e-4


CHANGES: dict[str, tuple[str, dict[str, Any]]] = {
    "slide": (
        "model = dict(test_cfg=dict(_delete_=True, mode='slide', crop_size=(769, 769), stride=(513, 513)))",
        {"evaluation": {"crop": [769, 769], "stride": [513, 513]}},
    ),
    "valid pixels and class weights": (
        "model = dict(decode_head=dict(loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, "
        "avg_non_ignore=True, class_weight=[1, 2], loss_weight=1.0)))",
        {"task": {"normalize": "valid", "class_weights": [1, 2], "auxiliary_weight": 0.4}},
    ),
    "no auxiliary head": (
        "model = dict(auxiliary_head=None)",
        {"student.options": {"backbone": "resnet50", "family": "mmseg", "auxiliary_channels": 0}},
    ),
    "widths": (
        "model = dict(decode_head=dict(channels=256), auxiliary_head=dict(channels=128))",
        {"student.options": {"backbone": "resnet50", "family": "mmseg", "channels": 256, "auxiliary_channels": 128}},
    ),
    "plain stem": (
        "model = dict(pretrained='torchvision://resnet50', backbone=dict(type='ResNet'))",
        {"student.options": {"backbone": "resnet50", "family": "mmseg_b"}, "student.pretrained": "resnet50.tv_in1k"},
    ),
    "another normalization": (
        "model = dict(data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[255, 255, 255], bgr_to_rgb=False))",
        {"student.options.input": {"order": "bgr", "mean": [0.5, 0.5, 0.5], "std": [1.0, 1.0, 1.0]}},
    ),
    "batch": ("train_dataloader = dict(batch_size=4)", {"data.batch_size": 16}),
    "steps": (
        "train_cfg = dict(type='IterBasedTrainLoop', max_iters=20 * 1000, val_interval=500)",
        {"training": {"steps": 20000, "precision": 32, "validate_every": 500, "checkpoint_every": 4000}},
    ),
    "accumulated, clipped, half precision": (
        "optim_wrapper = dict(type='AmpOptimWrapper', accumulative_counts=2, clip_grad=dict(max_norm=1, norm_type=2))",
        {"training.steps": 20000, "training.clip": 1.0, "training.precision": "bf16", "data.batch_size": 16},
    ),
    "warm-up": (
        "param_scheduler = [dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500), "
        "dict(type='PolyLR', eta_min=0.0, power=1.0, begin=1500, end=40000, by_epoch=False)]",
        {"optimizer.warmup": 1500, "optimizer.warmup_ratio": 1e-6, "optimizer.power": 1.0},
    ),
    "groups": (
        "optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=0.001, weight_decay=0.05), "
        "paramwise_cfg=dict(bias_decay_mult=0, "
        "custom_keys={'backbone': dict(lr_mult=0.1), 'norm': dict(decay_mult=0.)}))",
        {
            "optimizer.lr": 0.0001, "optimizer.head_lr": 10, "optimizer.no_decay": ["named:norm", "bias"],
            "optimizer.betas": [0.9, 0.999],
        },
    ),
    "best": (
        "default_hooks = dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2000, save_best='mIoU'))",
        {
            "training": {
                "steps": 40000, "precision": 32, "validate_every": 4000, "checkpoint_every": 2000, "export": "best",
            }
        },
    ),
    "whole weights": (
        "load_from = 'mine.pth'",
        {"student": {"model": "pspnet", "options": {"backbone": "resnet50", "family": "mmseg"},
                     "checkpoint": "mine.pth"}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_what_differs_is_carried_over(change: str, tmp_path: Path) -> None:
    text, expected = CHANGES[change]
    result = converted(tmp_path, MODERN + text + "\n")
    assert result.report.left == []
    for path, value in expected.items():
        assert at(result.content, path) == value, path


def at(content: dict[str, Any], path: str) -> Any:
    place: Any = content
    for key in path.split("."):
        place = place[key]
    return place


LEFT = {
    "custom_hooks = [dict(type='EMAHook')]": "custom_hooks = [{'type': 'EMAHook'}]",
    "model = dict(backbone=dict(plugins=[1]))": "model.backbone.plugins = [1]",
    "model = dict(backbone=dict(dilations=(1, 1, 1, 2)))": "model.backbone.dilations = (1, 1, 1, 2)",
    "model = dict(decode_head=dict(sampler=dict(type='OHEMPixelSampler')))": "model.decode_head.sampler",
    "model = dict(decode_head=dict(loss_decode=dict(type='DiceLoss')))": "loss_decode = {'type': 'DiceLoss'}",
    "model = dict(decode_head=dict(num_classes=7))": "decode_head.num_classes = 7: the recipe's 'cityscapes' has 19",
    "model = dict(decode_head=dict(norm_cfg=dict(type='GN', num_groups=32)))": "model.decode_head.norm_cfg = ",
    "model = dict(auxiliary_head=dict(in_index=1))": "model.auxiliary_head.in_index = 1",
    "model = dict(auxiliary_head=dict(num_convs=2))": "model.auxiliary_head.num_convs = 2",
    "model = dict(type='CascadeEncoderDecoder')": "model.type = 'CascadeEncoderDecoder'",
    "model = dict(test_cfg=dict(mode='tiles'))": "model.test_cfg = {'mode': 'tiles'}",
    "my_option = dict(a=1)": "my_option = {'a': 1}",
    "param_scheduler = [dict(type='CosineAnnealingLR', T_max=10, by_epoch=False)]": "the schedule CosineAnnealingLR",
    "train_dataloader = dict(dataset=dict(type='MyDataset', data_root='d'))": "the dataset MyDataset",
}


@pytest.mark.parametrize("text", LEFT)
def test_what_has_no_place_is_listed(text: str, tmp_path: Path) -> None:
    left = converted(tmp_path, MODERN + text + "\n").report.left
    assert any(LEFT[text] in line for line in left), left


def test_parts_of_transformers_that_differ_are_listed(tmp_path: Path) -> None:
    text = segdistill("swin", "CDLoss").replace("num_heads=[3, 6, 12, 24]", "num_heads=[4, 8, 16, 32]")
    left = converted(tmp_path, text.replace("window_size=7", "window_size=9")).report.left
    assert left == ["model.cfg_s.backbone.num_heads = [4, 8, 16, 32]", "model.cfg_s.backbone.window_size = 9"]


def test_decay_of_epochs_is_said(tmp_path: Path) -> None:
    text = segdistill("b0", "CDLoss").replace("by_epoch=False", "by_epoch=True")
    assert any("instead of every epoch" in note for note in converted(tmp_path, text).report.assumed)


def test_values_of_other_types_are_one_message(tmp_path: Path) -> None:
    for text in (
        "model = dict(backbone=dict(depth=[1]))",
        "train_dataloader = dict(batch_size='many')",
    ):
        with pytest.raises(UserError, match=r"config\.py: a setting has another form"):
            converted(tmp_path, MODERN + text + "\n")


def test_bases_on_the_disk_say_the_generation(tmp_path: Path) -> None:
    write(tmp_path, "base.py", "data = dict(samples_per_gpu=3)\noptimizer = dict(lr=0.5)\n")
    text = "_base_ = ['../_base_/models/pspnet_r50-d8.py', '../_base_/datasets/cityscapes.py', './base.py', "
    content = converted(tmp_path, text + "'../_base_/schedules/schedule_40k.py']\nmodel = dict()\n").content
    assert content["data"]["batch_size"] == 12


def test_other_steps_of_a_pipeline_are_listed(tmp_path: Path) -> None:
    text = OLD + (
        "pipe = [dict(type='Resize', img_scale=(1024, 512), ratio_range=(0.8, 1.2)), "
        "dict(type='RandomRotate', prob=0.5),"
        " dict(type='RandomCrop', crop_size=(256, 320)), dict(type='RandomFlip', prob=0.3)]\n"
        "data = dict(train=dict(pipeline=pipe))\n"
    )
    result = converted(tmp_path, text)
    assert result.content["augment"] == {
        "scale": [0.8, 1.2], "flip": 0.3, "max_class_share": 1, "crop": [256, 320], "padding": "last",
        "photometric": "none",
    }  # fmt: skip
    assert "the augmentation RandomRotate of the training pipeline" in result.report.left


def test_epochs_are_steps(tmp_path: Path) -> None:
    content = converted(tmp_path, DETECTOR).content
    assert content["training"]["steps"] == 12 * 7330
    assert content["optimizer"]["milestones"] == [8 * 7330, 11 * 7330]
    assert content["optimizer"]["lr"] == 0.02
    fewer = converted(tmp_path, DETECTOR, images=1600).content
    assert fewer["training"]["steps"] == 1200


def test_epochs_of_unknown_data_want_a_number(tmp_path: Path) -> None:
    text = OLD + "data = dict(train=dict(type='MyDataset'))\nrunner = dict(_delete_=True, type='X', max_epochs=3)\n"
    with pytest.raises(UserError, match="--images N"):
        converted(tmp_path, text)
    content = converted(tmp_path, text, images=100, gpus=1).content
    assert content["training"]["steps"] == 75


def test_multi_scale_and_caffe_detectors(tmp_path: Path) -> None:
    text = DETECTOR + (
        "model = dict(backbone=dict(style='caffe', frozen_stages=2), neck=dict(out_channels=128), "
        "bbox_head=dict(stacked_convs=2, feat_channels=128))\n"
        "scales = [(1333, 640), (1333, 800)]\n"
        "pipe = [dict(type='Resize', img_scale=scales, multiscale_mode='range', keep_ratio=True), "
        "dict(type='RandomFlip', flip_ratio=0.5)]\ndata = dict(train=dict(pipeline=pipe))\n"
    )
    content = converted(tmp_path, text).content
    assert content["student"]["options"] == {
        "backbone": "resnet50", "family": "mmdet_caffe", "freeze": ["stem", "stage1", "stage2"], "channels": 128,
        "depth": 2,
    }  # fmt: skip
    assert content["augment"] == {"flip": 0.5, "short_side": [640, 800]}


def test_devices_of_names_and_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert converted(tmp_path, MODERN, "pspnet_r50-d8_2xb4-40k_x.py").content["data"]["batch_size"] == 4
    assert converted(tmp_path, OLD, "d_512x512_8x1_40k_x.py").content["data"]["batch_size"] == 32
    text = OLD + "data = dict(samples_per_gpu=8)\n"
    assert converted(tmp_path, text, "d_512x512_8x1_40k_x.py").content["data"]["batch_size"] == 8
    assert converted(tmp_path, MODERN, gpus=3).content["data"]["batch_size"] == 6
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "razor.py", MMRAZOR_SEGMENTATION)
    command = (
        "bash tools/dist_train.sh razor.py 8 --cfg-options optim_wrapper.optimizer.lr=0.02 model.teacher_ckpt=t.pth"
    )
    content = convert_command(command.split()).content
    assert content["data"]["batch_size"] == 16
    assert content["optimizer"]["lr"] == 0.02
    assert content["teacher"]["checkpoint"] == "t.pth"
    with pytest.raises(UserError, match="'nowhere' is no entry there"):
        convert_command(
            [
                "python",
                "tools/train.py",
                "razor.py",
                "--cfg-options",
                "_base_.0.nowhere=1",
                "find_unused_parameters.nowhere=1",
            ]
        )


def test_models_on_the_disk_are_read(tmp_path: Path) -> None:
    write(tmp_path, "configs/pspnet/pspnet_r18-d8_512x1024_80k_cityscapes.py", "model = dict(type='EncoderDecoder', "
          "backbone=dict(type='ResNetV1c', depth=34), decode_head=dict(type='PSPHead', channels=128))\n")  # fmt: skip
    content = converted(tmp_path, MMSEG_DISTILLER).content
    assert content["student"]["options"] == {"backbone": "resnet34", "family": "mmseg", "auxiliary_channels": 0}


def test_losses_without_counterpart_are_listed_and_all_of_them_refused(tmp_path: Path) -> None:
    text = MMRAZOR_SEGMENTATION.replace("ChannelWiseDivergence", "ABLoss")
    with pytest.raises(UserError, match=r"none of its distillation losses(.|\n)*loss_cwd: ABLoss has no counterpart"):
        converted(tmp_path, text)
    unknown = MMRAZOR_SEGMENTATION.replace("source='decode_head.conv_seg'", "source='backbone.layer9'")
    with pytest.raises(UserError, match="what it compares has no name here"):
        converted(tmp_path, unknown)
    method = MMRAZOR_SEGMENTATION.replace("ModuleOutputs", "FunctionOutputs")
    with pytest.raises(UserError, match="what it compares has no name here"):
        converted(tmp_path, method)


def test_a_teacher_without_weights_is_said(tmp_path: Path) -> None:
    text = MMDET_DISTILLER.replace("teacher_pretrained=", "unused=")
    result = converted(tmp_path, text)
    assert result.content["teacher"] == {
        "model": "retinanet", "options": {"backbone": "resnext101_64x4d"}, "checkpoint": "checkpoints/teacher.pth",
    }  # fmt: skip
    assert any("teacher's weights" in line for line in result.report.left)
    example = segdistill("b0", "PDLoss").replace("t_pretrain=", "other=")
    published = converted(tmp_path, example)
    assert published.content["teacher"]["checkpoint"] == "checkpoints/nvlabs/segformer.b3.512x512.ade.160k.pth"
    assert any("it would be random" in note for note in published.report.assumed)


def test_stop_distillation(tmp_path: Path) -> None:
    text = MMRAZOR_SEGMENTATION + "custom_hooks = [dict(type='mmrazor.StopDistillHook', stop_epoch=10)]\n"
    content = converted(tmp_path, text).content
    assert content["distill"][0]["weight"] == {"value": 5, "decay": [3720, 80000], "decay_shape": "jump"}


def test_segdistills_general_loss(tmp_path: Path) -> None:
    options = (
        "dict(alpha=2, tau=4, resize_config=dict(mode='bilinear', align_corners=False), "
        "shuffle_config=dict(interval=500), transform_config=dict(loss_type='channel', group_size=15), "
        "warmup_config=dict(mode='linear', warmup_iters=100), "
        "earlydecay_config=dict(mode='jump', earlydecay_start=10, earlydecay_end=20))"
    )
    result = converted(tmp_path, segdistill("b0", "KLDLoss", options))
    assert result.report.left == []
    weight = {"value": 2, "warmup": 100, "decay": [10, 20], "decay_shape": "jump"}
    assert result.content["distill"] == [
        {
            "method": "cgd",
            "weight": weight,
            "options": {"temperature": 4, "group_size": 15, "shuffle_interval": 500, "scale": "none"},
            "resize_to": "label",
        }
    ]


def test_what_is_no_training_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no 'model', 'algorithm' or 'distiller'"):
        converted(tmp_path, "x = 1\n")
    with pytest.raises(UserError, match="no length of the training"):
        converted(tmp_path, "_base_ = 'mmseg::_base_/models/pspnet_r50-d8.py'\n")
    with pytest.raises(UserError, match=r"decode_head of type 'NewHead' has no counterpart.*PSPHead"):
        converted(tmp_path, MODERN + "model = dict(decode_head=dict(type='NewHead'))\n")
    with pytest.raises(UserError, match=r"backbone of type 'VGG' has no counterpart"):
        converted(tmp_path, MODERN + "model = dict(backbone=dict(type='VGG'))\n")
    with pytest.raises(UserError, match=r"the detector 'YOLOX' has no counterpart"):
        converted(tmp_path, DETECTOR + "model = dict(type='YOLOX', bbox_head=dict())\n")
    with pytest.raises(UserError, match="it names the configuration"):
        converted(tmp_path, MMSEG_DISTILLER.replace("pspnet_r18-d8", "unknown"))
