"""mmsegmentation: models, losses and evaluation of a segmentation configuration."""

from collections.abc import Mapping
from typing import Any

from densekd.convert_config.job import Job
from densekd.convert_config.published import backbone_weights
from densekd.convert_config.settings import Settings
from densekd.errors import UserError
from densekd.presets.parts import Content

_HEADS: Mapping[str, str] = {
    "PSPHead": "pspnet",
    "ASPPHead": "deeplabv3",
    "DepthwiseSeparableASPPHead": "deeplabv3plus",
    "FCNHead": "fcn",
    "UPerHead": "upernet",
    "SegformerHead": "segformer",
    "SegFormerHead": "segformer",
}
# What these models do anyway; another value is reported.
_BACKBONE_AS_OURS: Mapping[str, Any] = {
    "num_stages": 4, "out_indices": (0, 1, 2, 3), "dilations": (1, 1, 2, 4), "strides": (1, 2, 1, 1),
    "norm_eval": False, "style": "pytorch", "contract_dilation": True, "in_channels": 3, "mlp_ratio": 4,
    "qkv_bias": True, "qk_scale": None, "drop_rate": 0, "attn_drop_rate": 0, "ape": False, "patch_norm": True,
    "use_checkpoint": False, "with_cp": False, "patch_size": 4, "pretrain_img_size": 224, "use_abs_pos_embed": False,
    "widen_factor": 1.0, "groups": 1, "patch_sizes": (7, 3, 3, 3), "sr_ratios": (8, 4, 2, 1),
    "act_cfg": {"type": "GELU"},
}  # fmt: skip
_HEAD_AS_OURS: Mapping[str, Any] = {
    "dropout_ratio": 0.1, "align_corners": False, "pool_scales": (1, 2, 3, 6), "dilations": (1, 12, 24, 36),
    "concat_input": False, "feature_strides": (4, 8, 16, 32), "c1_in_channels": None, "kernel_size": 3,
}  # fmt: skip
# Widths of our models where a recipe names none: on basic blocks, and on all other backbones.
_WIDTHS: Mapping[str, tuple[int, int]] = {
    "pspnet": (128, 512),
    "deeplabv3": (128, 512),
    "deeplabv3plus": (128, 512),
    "fcn": (128, 512),
    "upernet": (512, 512),
}
_MIT_LAYERS = [[2, 2, 2, 2], [2, 2, 2, 2], [3, 4, 6, 3], [3, 4, 18, 3], [3, 8, 27, 3], [3, 6, 40, 3]]
# Width and blocks of a Swin transformer -> its name and its heads.
_SWINS = {
    (96, (2, 2, 6, 2)): ("swin_tiny", (3, 6, 12, 24)),
    (96, (2, 2, 18, 2)): ("swin_small", (3, 6, 12, 24)),
    (128, (2, 2, 18, 2)): ("swin_base", (4, 8, 16, 32)),
    (192, (2, 2, 18, 2)): ("swin_large", (6, 12, 24, 48)),
}


def segmentation_model(job: Job, model: Settings) -> Content:
    """Return the section ``student`` for a segmentor.

    Raises:
        UserError: an architecture that densekd does not have.
    """
    model.ignore("_scope_", "train_cfg")
    model.expect_type("EncoderDecoder")
    head = model.at("decode_head")
    kind = _scopeless(head.get("type"))
    if kind not in _HEADS:
        raise UserError(
            f"{job.report.source}: decode_head of type '{kind}' has no counterpart here. Known: {', '.join(_HEADS)}. "
            "A model of your own is 'package.module:Name', see docs/models.md."
        )
    name = _HEADS[kind]
    backbone, family, system = _backbone(job, model.at("backbone"), kind)
    options: Content = {"backbone": backbone, "family": family}
    width = _width(head, name, backbone, family)
    if width:
        options["channels"] = width
    options |= _auxiliary(model, name, backbone)
    _read_as_ours(head, _HEAD_AS_OURS)
    options |= _input(model.at("data_preprocessor"))
    content: Content = {"model": name, "options": options}
    pretrained = _pretrained(model)
    if pretrained:
        weights = backbone_weights(pretrained, system, job.report)
        content |= {"pretrained": weights} if weights else {}
    return content


def _scopeless(kind: Any) -> str:
    """Return a type without its package: ``mmseg.PSPHead`` is PSPHead."""
    return str(kind).rpartition(".")[2]


def _backbone(job: Job, backbone: Settings, head: str) -> tuple[str, str, str]:
    """Return a backbone's name, the family, and the project of its weights."""
    kind = _scopeless(backbone.get("type"))
    backbone.ignore("init_cfg", "pretrained")
    _batch_norm(backbone)
    _read_as_ours(backbone, _BACKBONE_AS_OURS)
    if kind in ("ResNetV1c", "ResNet"):
        depth = int(backbone.get("depth", default=50))
        return f"resnet{depth}", "mmseg" if kind == "ResNetV1c" else "mmseg_b", "mmseg"
    if kind.startswith("mit_b"):
        backbone.expect("drop_path_rate", value=0.1)
        return kind, "nvlabs", "nvlabs"
    if kind == "MixVisionTransformer":
        return _mit(job, backbone), "mmseg" if head == "SegformerHead" else "nvlabs", "mmseg"
    if kind == "SwinTransformer":
        return _swin(job, backbone), "mmseg", "swin"
    if kind == "MobileNetV2":
        return "mobilenetv2_100", "mmseg", "mmseg"
    raise UserError(
        f"{job.report.source}: backbone of type '{kind}' has no counterpart here. Known: ResNet, ResNetV1c, "
        "MixVisionTransformer, mit_b0 to mit_b5, SwinTransformer, MobileNetV2; 'timm:NAME' takes any of timm's."
    )


def _mit(job: Job, backbone: Settings) -> str:
    width = int(backbone.get("embed_dims", default=64))
    layers = list(backbone.get("num_layers", default=[3, 4, 6, 3]))
    backbone.expect("drop_path_rate", value=0.1)
    if layers not in _MIT_LAYERS:
        raise UserError(f"{job.report.source}: a MixVisionTransformer of {layers} layers is none of MiT-B0 to B5.")
    size = _MIT_LAYERS.index(layers)
    if layers == _MIT_LAYERS[0]:
        size = 0 if width < 64 else 1
    return f"mit_b{size}"


def _swin(job: Job, backbone: Settings) -> str:
    width = int(backbone.get("embed_dims", default=backbone.get("embed_dim", default=96)))
    depths = tuple(backbone.get("depths", default=(2, 2, 6, 2)))
    backbone.expect("drop_path_rate", value=0.3)
    if (width, depths) not in _SWINS:
        raise UserError(f"{job.report.source}: a Swin transformer {width} wide with {depths} blocks has no name here.")
    name, heads = _SWINS[(width, depths)]
    backbone.expect("num_heads", value=heads)
    if backbone.peek("window_size") == 12 and name in ("swin_base", "swin_large"):
        backbone.get("window_size")
        return f"{name}_window12"
    backbone.expect("window_size", value=7)
    return name


def _width(head: Settings, name: str, backbone: str, family: str) -> int | None:
    """Return the width of a head where it is not the one that the model has anyway."""
    head.ignore("in_channels", "num_classes")
    _batch_norm(head)
    basic = backbone in ("resnet18", "resnet34")
    head.expect("in_index", value=[0, 1, 2, 3] if name in ("segformer", "upernet") else 3)
    head.expect("num_convs", value=2)
    head.expect("c1_channels", value=12 if basic else 48)
    if name == "segformer":
        usual = 256 if family == "mmseg" or backbone in ("mit_b0", "mit_b1") else 768
        width = head.get("decoder_params", "embed_dim")
        if family == "mmseg":
            width = head.get("channels")
        else:
            # The head of 128 channels beside it is never used.
            head.ignore("channels")
    else:
        usual = _WIDTHS[name][0 if basic else 1]
        width = head.get("channels")
    if width is None or width == usual:
        return None
    return int(width)


def _batch_norm(part: Settings) -> None:
    """Mark a batch norm as read, synchronized or not; any other norm stays to be reported."""
    for kind in ("BN", "SyncBN"):
        part.expect("norm_cfg", value={"type": kind})
        part.expect("norm_cfg", value={"type": kind, "requires_grad": True})
    # Transformers have layer norms.
    part.expect("norm_cfg", value={"type": "LN", "requires_grad": True})


def _auxiliary(model: Settings, name: str, backbone: str) -> Content:
    """Return the auxiliary head's width where it is not the usual one."""
    if name == "segformer":
        return {}
    if not model.peek("auxiliary_head"):
        model.get("auxiliary_head")
        return {"auxiliary_channels": 0}
    head = model.at("auxiliary_head")
    head.expect_type("FCNHead")
    head.ignore("in_channels", "num_classes")
    _batch_norm(head)
    head.expect("in_index", value=2)
    head.expect("num_convs", value=1)
    _read_as_ours(head, _HEAD_AS_OURS)
    width = head.get("channels", default=256)
    usual = 64 if backbone in ("resnet18", "resnet34") else 256
    return {} if width == usual else {"auxiliary_channels": int(width)}


def _pretrained(model: Settings) -> str | None:
    """Return the backbone's weights, in one of three places."""
    named = model.get("pretrained")
    for place in (("backbone", "init_cfg", "checkpoint"), ("backbone", "pretrained")):
        named = model.get(*place) or named
    return named if isinstance(named, str) else None


def _input(preprocessor: Settings) -> Content:
    """Return the option ``input`` where images are not normalized as ImageNet's."""
    preprocessor.ignore("type", "size", "pad_val", "seg_pad_val", "size_divisor", "test_cfg", "pad_size_divisor")
    return input_option(preprocessor, "bgr_to_rgb")


def input_option(norm: Settings, order_key: str) -> Content:
    """Return the option ``input`` of a normalization that is not ImageNet's in RGB.

    Args:
        norm: mean and std in units of 0..255.
        order_key: what says that channels are RGB.
    """
    mean, std = norm.get("mean"), norm.get("std")
    rgb = norm.get(order_key, default=True)
    usual = mean is None or (list(mean) == [123.675, 116.28, 103.53] and rgb and list(std) == [58.395, 57.12, 57.375])
    if usual:
        return {}
    scaled = {"mean": [round(v / 255, 6) for v in mean], "std": [round(v / 255, 6) for v in std or (1, 1, 1)]}
    return {"input": {"order": "rgb" if rgb else "bgr", **scaled}}


def _read_as_ours(part: Settings, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        part.expect(key, value=value)


def segmentation_task(job: Job, model: Settings) -> Content:
    """Return the section ``task`` of a segmentor's losses."""
    loss = model.at("decode_head", "loss_decode")
    content: Content = {"normalize": "valid" if loss.get("avg_non_ignore") else "all"}
    if content["normalize"] == "all":
        job.report.assume("cross-entropies are divided by all pixels, also void ones, as mmsegmentation does")
    _cross_entropy(loss)
    weights = loss.get("class_weight")
    if isinstance(weights, (list, tuple)):
        content["class_weights"] = list(weights)
    auxiliary = model.at("auxiliary_head", "loss_decode")
    _cross_entropy(auxiliary)
    auxiliary.get("avg_non_ignore")
    weight = auxiliary.get("loss_weight", default=0.4)
    loss.expect("loss_weight", value=1.0)
    if model.peek("auxiliary_head"):
        content["auxiliary_weight"] = weight
    return content


def _cross_entropy(loss: Settings) -> None:
    loss.expect("type", value="CrossEntropyLoss")
    loss.expect("use_sigmoid", value=False)


def segmentation_evaluation(model: Settings) -> Content:
    """Return the section ``evaluation`` of a segmentor's ``test_cfg``."""
    config = model.at("test_cfg")
    if config.peek("mode") != "slide":
        config.expect("mode", value="whole")
        config.ignore("crop_size", "stride")
        return {}
    config.ignore("mode")
    content: Content = {"crop": list(config.get("crop_size", default=(512, 512)))}
    stride = config.get("stride")
    return content | ({"stride": list(stride)} if stride else {})
