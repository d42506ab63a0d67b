"""Configurations and commands of other projects, in our own words: their keys and numbers, no file of theirs."""

from pathlib import Path

_ZOO = "https://download.openmmlab.com/{}/{}.pth"
PSP101 = _ZOO.format("mmsegmentation/v0.5", "pspnet_r101-d8_512x1024_80k_cityscapes_20200606_112211-e1e1100f")
GFL101 = _ZOO.format("mmdetection/v2.0", "gfl_r101_fpn_mstrain_2x_coco_20200629_200126-dd12f847")
RETINA_X101 = _ZOO.format("mmdetection/v2.0", "retinanet_x101_64x4d_fpn_1x_coco_20200130-366f5af1")
RETINA101 = _ZOO.format("mmdetection/v2.0", "retinanet_r101_fpn_2x_coco_20200131-5560aee8")

MMRAZOR_SEGMENTATION = f"""
_base_ = ['mmseg::_base_/datasets/cityscapes.py', 'mmseg::_base_/schedules/schedule_80k.py',
          'mmseg::_base_/default_runtime.py']
weights = '{PSP101}'
model = dict(
    _scope_='mmrazor', type='SingleTeacherDistill',
    architecture=dict(cfg_path='mmseg::pspnet/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py', pretrained=False),
    teacher=dict(cfg_path='mmseg::pspnet/pspnet_r101-d8_4xb2-80k_cityscapes-512x1024.py', pretrained=False),
    teacher_ckpt=weights,
    distiller=dict(
        type='ConfigurableDistiller',
        distill_losses=dict(loss_cwd=dict(type='ChannelWiseDivergence', tau=1, loss_weight=5)),
        student_recorders=dict(out=dict(type='ModuleOutputs', source='decode_head.conv_seg')),
        teacher_recorders=dict(out=dict(type='ModuleOutputs', source='decode_head.conv_seg')),
        loss_forward_mappings=dict(loss_cwd=dict(
            preds_S=dict(from_student=True, recorder='out'),
            preds_T=dict(from_student=False, recorder='out')))))
find_unused_parameters = True
val_cfg = dict(_delete_=True, type='mmrazor.SingleTeacherDistillValLoop')
"""

_LEVELS = range(5)


def mmrazor_detection(student: str, teacher: str, weights: str, loss: str, levels: int, schedule: str) -> str:
    """Return a configuration of MMRazor 1.x that compares levels of the pyramid.

    Args:
        student: its configuration.
        teacher: its configuration.
        weights: the teacher's.
        loss: of each level, as text.
        levels: how many.
        schedule: ``1x`` or ``2x``.
    """
    losses = ", ".join(f"loss_{k}={loss}" for k in range(levels))
    mappings = ", ".join(
        f"loss_{k}=dict(preds_S=dict(from_student=True, recorder='fpn', data_idx={k}), "
        f"preds_T=dict(from_student=False, recorder='fpn', data_idx={k}))"
        for k in range(levels)
    )
    return f"""
_base_ = ['mmdet::_base_/datasets/coco_detection.py', 'mmdet::_base_/schedules/schedule_{schedule}.py',
          'mmdet::_base_/default_runtime.py']
model = dict(
    _scope_='mmrazor', type='FpnTeacherDistill',
    architecture=dict(cfg_path='mmdet::{student}', pretrained=False),
    teacher=dict(cfg_path='mmdet::{teacher}', pretrained=False),
    teacher_ckpt='{weights}',
    distiller=dict(
        type='ConfigurableDistiller',
        student_recorders=dict(fpn=dict(type='ModuleOutputs', source='neck')),
        teacher_recorders=dict(fpn=dict(type='ModuleOutputs', source='neck')),
        distill_losses=dict({losses}),
        loss_forward_mappings=dict({mappings})))
find_unused_parameters = True
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=0.0001))
"""


def mmrazor_connected(
    student: str, teacher: str, weights: str, loss: str, connectors: list[str], arguments: str
) -> str:
    """Return a configuration of MMRazor 1.x with a connector before the loss of each level.

    Args:
        student: base of the student's model, and the schedule.
        teacher: its configuration.
        weights: the teacher's.
        loss: of each level, as text.
        connectors: of each level, as text.
        arguments: names of the loss's arguments, student before teacher.
    """
    first, second = arguments.split()
    levels = range(len(connectors))
    recorders = ", ".join(f"f{k}=dict(type='ModuleOutputs', source='neck.fpn_convs.{k}.conv')" for k in levels)
    mappings = ", ".join(
        f"loss_{k}=dict({first}=dict(from_student=True, recorder='f{k}', connector='c{k}'), "
        f"{second}=dict(from_student=False, recorder='f{k}'))"
        for k in levels
    )
    return f"""
_base_ = ['mmdet::_base_/datasets/coco_detection.py', 'mmdet::_base_/schedules/{student.partition(" ")[2]}.py',
          'mmdet::{student.partition(" ")[0]}']
weights = '{weights}'
student = _base_.model
student.neck = dict(init_cfg=dict(type='Pretrained', prefix='neck.', checkpoint=weights))
student.bbox_head = dict(init_cfg=dict(type='Pretrained', prefix='bbox_head.', checkpoint=weights))
model = dict(
    _scope_='mmrazor', _delete_=True, type='FpnTeacherDistill', architecture=student,
    teacher=dict(cfg_path='mmdet::{teacher}', pretrained=False), teacher_ckpt=weights,
    distiller=dict(
        type='ConfigurableDistiller', student_recorders=dict({recorders}), teacher_recorders=dict({recorders}),
        connectors=dict({", ".join(f"c{k}={connectors[k]}" for k in levels)}),
        distill_losses=dict({", ".join(f"loss_{k}={loss}" for k in levels)}),
        loss_forward_mappings=dict({mappings})))
optimizer_config = dict(_delete_=True, grad_clip=dict(max_norm=35, norm_type=2))
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=0.0001))
"""


_GFL = """dict(
    type='mmdet.GFL',{init}
    backbone=dict(type='ResNet', depth={depth}, num_stages=4, out_indices=(0, 1, 2, 3), frozen_stages=1,
        norm_cfg=dict(type='BN', requires_grad=True), norm_eval=True, style='pytorch'{backbone}),
    neck=dict(type='FPN', in_channels=[256, 512, 1024, 2048], out_channels=256, start_level=1,
        add_extra_convs='on_output', num_outs=5),
    bbox_head=dict(type='GFLHead', num_classes=80, in_channels=256, stacked_convs=4, feat_channels=256,
        anchor_generator=dict(type='AnchorGenerator', ratios=[1.0], octave_base_scale=8, scales_per_octave=1,
            strides=[8, 16, 32, 64, 128]),
        loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True, beta=2.0, loss_weight=1.0),
        loss_dfl=dict(type='DistributionFocalLoss', loss_weight=0.25), reg_max=16,
        loss_bbox=dict(type='GIoULoss', loss_weight=2.0)),
    train_cfg=dict(assigner=dict(type='ATSSAssigner', topk=9), allowed_border=-1, pos_weight=-1, debug=False),
    test_cfg=dict(nms_pre=1000, min_bbox_size=0, score_thr=0.05, nms=dict(type='nms', iou_threshold=0.6),
        max_per_img=100))"""
_PRETRAINED = ", init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50')"
MMRAZOR_03_DETECTION = f"""
_base_ = ['../../_base_/datasets/mmdet/coco_detection.py', '../../_base_/schedules/mmdet/schedule_1x.py',
          '../../_base_/mmdet_runtime.py']
student = {_GFL.format(init="", depth=50, backbone=_PRETRAINED)}
checkpoint = '{GFL101}'
teacher = {_GFL.format(init=" init_cfg=dict(type='Pretrained', checkpoint=checkpoint),", depth=101, backbone="")}
algorithm = dict(
    type='GeneralDistill',
    architecture=dict(type='MMDetArchitecture', model=student),
    distiller=dict(type='SingleTeacherDistiller', teacher=teacher, teacher_trainable=False, components=[
        dict(student_module='bbox_head.gfl_cls', teacher_module='bbox_head.gfl_cls',
            losses=[dict(type='ChannelWiseDivergence', name='loss_cwd_cls_head', tau=1, loss_weight=5)])]))
find_unused_parameters = True
optimizer = dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=0.0001)
"""

_SEGDISTILL_MODELS = """
norm_cfg = dict(type='SyncBN', requires_grad=True)
loss = dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)
b3_head = dict(type='SegFormerHead', in_channels=[64, 128, 320, 512], in_index=[0, 1, 2, 3],
    feature_strides=[4, 8, 16, 32], channels=128, dropout_ratio=0.1, num_classes=150, norm_cfg=norm_cfg,
    align_corners=False, decoder_params=dict(embed_dim=768), loss_decode=loss)
cfg_t = dict(type='EncoderDecoder', backbone=dict(type='mit_b3', style='pytorch'), decode_head=b3_head)
"""
_SEGDISTILL_STUDENTS = {
    "b0": """
cfg_s = dict(type='EncoderDecoder', pretrained='pretrained/mit_b0.pth',
    backbone=dict(type='mit_b0', style='pytorch'),
    decode_head=dict(type='SegFormerHead', in_channels=[32, 64, 160, 256], in_index=[0, 1, 2, 3],
        feature_strides=[4, 8, 16, 32], channels=128, dropout_ratio=0.1, num_classes=150, norm_cfg=norm_cfg,
        align_corners=False, decoder_params=dict(embed_dim=256), loss_decode=loss))
""",
    "swin": """
cfg_s = dict(type='EncoderDecoder', pretrained='pretrained/swin_tiny_patch4_window7_224.pth',
    backbone=dict(type='SwinTransformer', embed_dim=96, depths=[2, 2, 6, 2], num_heads=[3, 6, 12, 24],
        window_size=7, mlp_ratio=4., qkv_bias=True, qk_scale=None, drop_rate=0., attn_drop_rate=0.,
        drop_path_rate=0.3, ape=False, patch_norm=True, out_indices=(0, 1, 2, 3), use_checkpoint=False),
    decode_head=dict(type='UPerHead', in_channels=[96, 192, 384, 768], in_index=[0, 1, 2, 3],
        pool_scales=(1, 2, 3, 6), channels=512, dropout_ratio=0.1, num_classes=150, norm_cfg=norm_cfg,
        align_corners=False, loss_decode=loss))
""",
    "psp": """
cfg_s = dict(type='EncoderDecoder',
    backbone=dict(type='ResNetV1c', depth=50, num_stages=4, out_indices=(0, 1, 2, 3), dilations=(1, 1, 2, 4),
        strides=(1, 2, 1, 1), norm_cfg=norm_cfg, norm_eval=False, style='pytorch', contract_dilation=True),
    decode_head=dict(type='PSPHead', in_channels=2048, in_index=3, channels=512, pool_scales=(1, 2, 3, 6),
        dropout_ratio=0.1, num_classes=150, norm_cfg=norm_cfg, align_corners=False, loss_decode=loss))
""",
}
_HEAD_TIMES_TEN = "'pos_block': dict(decay_mult=0.), 'norm': dict(decay_mult=0.), 'head': dict(lr_mult=10.)"
_SWIN_KEYS = (
    "'absolute_pos_embed': dict(decay_mult=0.), 'relative_position_bias_table': dict(decay_mult=0.), "
    "'norm': dict(decay_mult=0.)"
)


def segdistill(student: str, loss: str, options: str = "{}") -> str:
    """Return a configuration of SegDistill: SegFormer-B3 teaches ``b0``, ``swin`` or ``psp``."""
    layer = "linear_pred" if student == "b0" else "conv_seg"
    keys = _SWIN_KEYS if student == "swin" else _HEAD_TIMES_TEN
    return f"""
_base_ = ['../_base_/datasets/ade20k_repeat.py', '../_base_/default_runtime.py',
          '../_base_/schedules/schedule_160k_adamw.py']
{_SEGDISTILL_MODELS}
{_SEGDISTILL_STUDENTS[student]}
model = dict(type='SDModule', cfg_s=cfg_s, cfg_t=cfg_t,
    distillation=[{{'student_layer': 'decode_head.{layer}', 'teacher_layer': 'decode_head.linear_pred',
                    'loss_name': '{loss}', 'loss_config': {options}}}],
    t_pretrain=f'./pretrained/segformer.b3.512x512.ade.160k.pth', train_cfg=dict(), test_cfg=dict(mode='whole'))
optimizer = dict(_delete_=True, type='AdamW', lr=0.00006, betas=(0.9, 0.999), weight_decay=0.01,
    paramwise_cfg=dict(custom_keys={{{keys}}}))
lr_config = dict(_delete_=True, policy='poly', warmup='linear', warmup_iters=1500, warmup_ratio=1e-6,
    power=1.0, min_lr=0.0, by_epoch=False)
data = dict(samples_per_gpu=2)
evaluation = dict(interval=2000, metric='mIoU')
"""


MMSEG_DISTILLER = """
_base_ = ['../../_base_/datasets/cityscapes.py', '../../_base_/default_runtime.py',
          '../../_base_/schedules/schedule_80k.py']
find_unused_parameters = True
distiller = dict(type='SegmentationDistiller',
    teacher_pretrained='pretrained_model/pspnet_r101-d8_512x1024_80k_cityscapes_20200606_112211-e1e1100f.pth',
    distill_cfg=[dict(student_module='decode_head.conv_seg', teacher_module='decode_head.conv_seg',
        output_hook=True, methods=[dict(type='ChannelWiseDivergence', name='loss_cwd', student_channels=19,
            teacher_channels=19, tau=1.0, weight=5.0)])])
student_cfg = 'configs/pspnet/pspnet_r18-d8_512x1024_80k_cityscapes.py'
teacher_cfg = 'configs/pspnet/pspnet_r101-d8_512x1024_80k_cityscapes.py'
"""
_FPN_METHODS = ", ".join(
    f"dict(student_module='neck.fpn_convs.{k}.conv', teacher_module='neck.fpn_convs.{k}.conv', output_hook=True, "
    f"methods=[dict(type='ChannelWiseDivergence', name='loss_{k}', tau=tau, student_channels=256, "
    "teacher_channels=256, weight=weight)])"
    for k in (3, 2, 1, 0)
)
MMDET_DISTILLER = f"""
_base_ = ['../../_base_/datasets/coco_detection.py', '../../_base_/schedules/schedule_2x.py',
          '../../_base_/default_runtime.py']
weight = 5.0
tau = 1.0
distiller = dict(type='DetectionDistiller',
    teacher_pretrained='pretrained_model/retinanet_x101_64x4d_fpn_1x_coco_20200130-366f5af1.pth',
    distill_cfg=[{_FPN_METHODS}])
student_cfg = 'configs/retinanet/retinanet_r50_fpn_2x_coco.py'
teacher_cfg = 'configs/retinanet/retinanet_x101_64x4d_fpn_1x_coco.py'
optimizer = dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=0.0001)
data = dict(samples_per_gpu=2, workers_per_gpu=2)
"""

_LAUNCH = (
    "CUDA_VISIBLE_DEVICES=0,1,2,3,4,5,6,7 \\\n  python -m torch.distributed.launch --nproc_per_node={} \\\n  {} \\\n"
)
_PLACES = (
    "  --data [your dataset path]/cityscapes/ \\\n  --save-dir [your directory] --log-dir [your directory] \\\n"
    "  --teacher-pretrained [your weights path]/deeplabv3_resnet101_citys_best_model.pth \\\n"
    "  --student-pretrained-base [your backbone path]/resnet18-imagenet.pth\n"
)
_PAIR = (
    "  --teacher-model deeplabv3 --student-model deeplabv3 --teacher-backbone resnet101 "
    "--student-backbone resnet18 \\\n"
)


def cirkd(program: str, *options: str) -> str:
    """Return a script of CIRKD for Cityscapes and DeepLabV3-R18 on eight devices."""
    return _LAUNCH.format(8, program) + _PAIR + "".join(f"  {option} \\\n" for option in options) + _PLACES


CIRKDV2_OPTIONS = (
    "--batch-size 8", "--lr 0.01", "--max-iterations 80000", "--lambda-fitnet 1.", "--lambda-minibatch-channel 1.",
    "--lambda-memory-channel 0.1", "--lambda-channel-kd 100.",
)  # fmt: skip
HWD_OPTIONS = "--activation --L MSE --process E --parameter 0.1 --shift 1.0 --DivPixel N"


def hwd(program: str, options: str = "") -> str:
    """Return a command of HWD's page for Cityscapes and DeepLabV3-R18 on four devices."""
    return (
        f"python -m torch.distributed.launch --nproc_per_node=4 {program} \\\n  --gpu-id 0,1,2,3 --dataset citys \\\n"
        "  --teacher-model deeplabv3 --teacher-backbone resnet101 \\\n"
        "  --teacher-pretrained [your checkpoint path]/deeplabv3_resnet101_citys_best_model.pth \\ \n"
        "  --student-model deeplabv3 --student-backbone resnet18 \\\n"
        f"  --student-pretrained-base [your checkpoint path]/resnet18-imagenet.pth {options}\n"
    )


def write(folder: Path, name: str, text: str) -> Path:
    """Write a configuration or a script; return its path."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
