"""MobileViTs inside published files (CIRKD, OpenMMLab): told apart by widths; key rules to timm's names."""

from collections.abc import Mapping

from torch import Tensor

from densekd.models.checkpoints.layout import Rules

# Width of the first transformer.
_WIDTHS = {64: "mobilevit_xxs", 96: "mobilevit_xs", 144: "mobilevit_s"}


def which_mobilevit(state: Mapping[str, Tensor], prefix: str) -> str | None:
    """Return the MobileViT's name, or None.

    Args:
        state: the file's entries.
        prefix: what stands before its names, as it is (``pretrained.``).
    """
    first = state.get(f"{prefix}layers.2.1.local_rep.1.conv.weight")
    return None if first is None else _WIDTHS.get(len(first))


def mobilevit(prefix: str) -> Rules:
    """Rules for OpenMMLab's names, which CIRKD has too; ``prefix`` is a pattern."""
    block = prefix + r"layers\.(\d)\.(\d)"
    ours = r"backbone.stages_\1.\2"
    layer = block + r"\.global_rep\.(\d+)"
    transformer = ours + r".transformer.\3"
    return (
        (prefix + r"(stem\..*)", r"backbone.\1"),
        (prefix + r"conv_1x1_exp(\..*)", r"backbone.final_conv\1"),
        # An inverted residual: expand, depthwise, project.
        (block + r"\.conv\.0(\..*)", ours + r".conv1_1x1\3"),
        (block + r"\.conv\.1(\..*)", ours + r".conv2_kxk\3"),
        (block + r"\.conv\.2(\..*)", ours + r".conv3_1x1\3"),
        # What is around a transformer.
        (block + r"\.local_rep\.0(\..*)", ours + r".conv_kxk\3"),
        (block + r"\.local_rep\.1\.conv(\..*)", ours + r".conv_1x1\3"),
        (block + r"(\.conv_(?:proj|fusion)\..*)", ours + r"\3"),
        # CIRKD has the attention of torch, OpenMMLab one of its own.
        (layer + r"\.attn\.attn\.in_proj_(.*)", transformer + r".attn.qkv.\4"),
        (layer + r"\.attn\.attn\.out_proj(\..*)", transformer + r".attn.proj\4"),
        (layer + r"(\.attn\.(?:qkv|proj)\..*)", transformer + r"\4"),
        (layer + r"\.ln([12])(\..*)", transformer + r".norm\4\5"),
        (layer + r"\.ffn\.layers\.0\.0(\..*)", transformer + r".mlp.fc1\4"),
        (layer + r"\.ffn\.layers\.1(\..*)", transformer + r".mlp.fc2\4"),
        # The last of a sequence of layers is a norm.
        (layer + r"(\.(?:weight|bias))", ours + r".norm\4"),
    )
