"""Configs of tiny models of the transformers library, 64 x 64 pixels where it wants to know, and folders of them."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

SWIN = {
    "model_type": "swin", "image_size": 64, "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2],
    "window_size": 2, "out_features": ["stage1", "stage2", "stage3", "stage4"],
}  # fmt: skip
VIT = {
    "image_size": 64, "patch_size": 16, "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2,
    "intermediate_size": 16,
}  # fmt: skip
DETR = {
    "model_type": "detr", "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "num_queries": 16,
}  # fmt: skip
DECODER = {
    "backbone_config": SWIN, "hidden_dim": 32, "encoder_feedforward_dim": 16, "dim_feedforward": 16,
    "encoder_layers": 1, "decoder_layers": 2, "num_attention_heads": 2, "num_queries": 16,
}  # fmt: skip
TEXT = {
    "text_encoder_width": 16, "text_encoder_context_length": 8, "text_encoder_num_layers": 1, "task_seq_len": 8,
    "text_encoder_vocab_size": 100, "text_encoder_proj_layers": 1, "text_encoder_n_ctx": 4, "max_seq_len": 8,
}  # fmt: skip
EOMT = {**VIT, "num_blocks": 2, "num_queries": 16, "num_upscale_blocks": 1, "num_register_tokens": 2}

SEMANTIC: dict[str, dict[str, Any]] = {
    "beit": {**VIT, "out_indices": [1, 2, 3, 4], "use_relative_position_bias": True},
    "data2vec-vision": {**VIT, "out_indices": [0, 1, 2, 3], "use_relative_position_bias": True},
    "dpt": {**VIT, "backbone_out_indices": [0, 1, 2, 3], "neck_hidden_sizes": [8, 8, 16, 16], "fusion_hidden_size": 8},
    "mobilenet_v2": {"depth_multiplier": 0.25, "output_stride": 16},
    "mobilevit": {
        "hidden_sizes": [16, 16, 24], "neck_hidden_sizes": [8, 8, 16, 16, 16, 24, 24], "num_attention_heads": 2,
        "aspp_out_channels": 16, "output_stride": 16,
    },
    "mobilevitv2": {"width_multiplier": 0.25, "aspp_out_channels": 16, "output_stride": 16, "n_attn_blocks": [1, 1, 1]},
    "segformer": {
        "hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 1, 2, 2],
        "decoder_hidden_size": 16,
    },
    "upernet": {"backbone_config": SWIN, "hidden_size": 16, "auxiliary_channels": 8, "auxiliary_in_channels": 32},
}  # fmt: skip
MASKS: dict[str, dict[str, Any]] = {
    "eomt": EOMT,
    "eomt_dinov3": EOMT,
    "mask2former": {**DECODER, "feature_size": 32, "mask_feature_size": 32},
    "maskformer": {"backbone_config": SWIN, "decoder_config": DETR, "fpn_feature_size": 32, "mask_feature_size": 32},
    "oneformer": {**DECODER, **TEXT, "conv_dim": 32, "mask_dim": 32, "query_dec_layers": 1},
}
RESNET = {"embedding_size": 8, "hidden_sizes": [8, 8, 16, 16], "depths": [1] * 4, "layer_type": "basic"}
HGNET = {
    "model_type": "hgnet_v2", "embedding_size": 8, "hidden_sizes": [8, 8, 16, 16], "depths": [1] * 4,
    "stem_channels": [3, 8, 8], "stage_in_channels": [8, 8, 8, 16], "stage_mid_channels": [8] * 4,
    "stage_out_channels": [8, 8, 16, 16], "stage_num_blocks": [1] * 4, "stage_numb_of_layers": [1] * 4,
    "out_indices": [2, 3, 4],
}  # fmt: skip
QUERIES = {
    "d_model": 32, "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "num_queries": 12, "dropout": 0.0,
    "auxiliary_loss": True,
}  # fmt: skip
HYBRID = {
    **QUERIES, "encoder_hidden_dim": 16, "encoder_in_channels": [8, 16, 16], "decoder_in_channels": [16] * 3,
    "hidden_expansion": 0.5, "backbone_config": {**RESNET, "model_type": "rt_detr_resnet", "out_indices": [2, 3, 4]},
}  # fmt: skip

DETECTORS: dict[str, dict[str, Any]] = {
    "conditional_detr": {**QUERIES, "backbone_config": {**RESNET, "model_type": "resnet", "out_indices": [4]}},
    "d_fine": {**HYBRID, "backbone_config": HGNET},
    "deformable_detr": {**QUERIES, "backbone_config": {**RESNET, "model_type": "resnet", "out_indices": [2, 3, 4]}},
    "detr": {**QUERIES, "backbone_config": {**RESNET, "model_type": "resnet", "out_indices": [1, 2, 3, 4]}},
    "rt_detr": HYBRID,
    "rt_detr_v2": HYBRID,
}
DEPTH: dict[str, dict[str, Any]] = {
    "depth_anything": {
        "backbone_config": {
            "model_type": "dinov2", "image_size": 56, "patch_size": 14, "hidden_size": 16, "num_hidden_layers": 4,
            "num_attention_heads": 2, "out_indices": [1, 2, 3, 4], "reshape_hidden_states": False,
        },
        "reassemble_hidden_size": 16, "neck_hidden_sizes": [8, 8, 16, 16], "fusion_hidden_size": 8,
        "head_hidden_size": 8,
    },
    "dpt": SEMANTIC["dpt"],
}  # fmt: skip
TASK = {"task_inputs": [7, 3, 1, 0, 0, 0, 0, 0]}
"""What OneFormer's processor adds: tokens, as many as ``task_seq_len``."""


def stir(model: nn.Module) -> nn.Module:
    """Make random weights large enough that predictions vary from place to place."""
    for value in (parameter.data for parameter in model.parameters()):
        if value.ndim > 1:
            value.normal_(0, 1.5 * value[0].numel() ** -0.5)
        else:
            value.add_(torch.randn_like(value), alpha=0.3)
    return model


def save(model_type: str, classes: int, folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    """Save a tiny model with varied weights, as a hub folder would be, and return it in evaluation mode."""
    import transformers

    config = {**SEMANTIC, **MASKS, **DETECTORS}[model_type]
    settings = transformers.AutoConfig.for_model(model_type, num_labels=classes, **config)
    kind = {**dict.fromkeys(MASKS, "UniversalSegmentation"), **dict.fromkeys(DETECTORS, "ObjectDetection")}
    architecture = getattr(transformers, f"AutoModelFor{kind.get(model_type, 'SemanticSegmentation')}")
    model = stir(architecture.from_config(settings)).to(dtype)
    model.save_pretrained(folder)
    return model.eval()


def save_depth(model_type: str, folder: Path) -> Any:
    """Save a tiny depth estimator as :func:`save` does."""
    import transformers

    settings = transformers.AutoConfig.for_model(model_type, **DEPTH[model_type])
    model = stir(transformers.AutoModelForDepthEstimation.from_config(settings))
    # Its last layer is a ReLU; above zero, so that something is left.
    for name, value in model.named_parameters():
        if name.startswith("head") and name.endswith("bias"):
            value.data.add_(2)
    model.save_pretrained(folder)
    return model.eval()
