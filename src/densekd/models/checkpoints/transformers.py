"""Mix transformers and Swins inside published files: told apart by shapes; key rules."""

import re
from collections.abc import Mapping

from torch import Tensor

from densekd.models.checkpoints.layout import Rules, count
from densekd.models.mit import MITS
from densekd.models.swin import SWINS

# The four neighbors of a merged patch: the original lists them by column, mmsegmentation's
# unfolding by row.
_BY_COLUMN = [0, 2, 1, 3]


def which_mit(state: Mapping[str, Tensor], embedding: str, block: str, first: int) -> str | None:
    """Return the mix transformer's name, or None.

    Args:
        state: the file's entries.
        embedding: key of the first patch embedding's weight.
        block: pattern of a block's key, with ``{}`` for the stage and the block as group 1.
        first: number of the first stage.
    """
    if embedding not in state:
        return None
    found_depths = tuple(count(state, block.format(stage)) for stage in range(first, first + 4))
    found_width = len(state[embedding])
    for name, (widths, depths) in MITS.items():
        if widths[0] == found_width and depths == found_depths:
            return name
    return None


def mit(prefix: str) -> Rules:
    """Rules for NVlabs' names of a mix transformer (also SegDistill's and CIRKD's)."""
    # Stages count from 1, and timm has the first embedding outside of the stages.
    rules: list[tuple[str, str | None]] = [
        (rf"{prefix}patch_embed1(\..*)", r"backbone.patch_embed\1"),
    ]
    for k in range(4):
        stage = rf"backbone.stages.{k}"
        block = rf"{prefix}block{k + 1}"
        rules += [
            (rf"{prefix}patch_embed{k + 1}(\..*)", rf"{stage}.downsample\1"),
            (rf"{block}\.(\d+\.mlp\.dwconv)\.dwconv(\..*)", rf"{stage}.blocks.\1\2"),
            (rf"{block}(\..*)", rf"{stage}.blocks\1"),
            (rf"{prefix}norm{k + 1}(\..*)", rf"{stage}.norm\1"),
        ]
    return tuple(rules)


_LAYER = r"backbone\.layers\.(\d)"
_BLOCK = r"backbone\.layers\.(\d)\.1\.(\d+)"
_OURS = r"backbone.stages.\1.blocks.\2"
# A stage of mmsegmentation is [embedding, blocks, norm].
MIT_MMSEG: Rules = (
    (r"backbone\.layers\.0\.0\.projection(\..*)", r"backbone.patch_embed.proj\1"),
    (r"backbone\.layers\.0\.0\.norm(\..*)", r"backbone.patch_embed.norm\1"),
    (_LAYER + r"\.0\.projection(\..*)", r"backbone.stages.\1.downsample.proj\2"),
    (_LAYER + r"\.0\.norm(\..*)", r"backbone.stages.\1.downsample.norm\2"),
    (_LAYER + r"\.2(\..*)", r"backbone.stages.\1.norm\2"),
    (_BLOCK + r"\.attn\.attn\.out_proj(\..*)", _OURS + r".attn.proj\3"),
    (_BLOCK + r"\.attn\.attn\.(q|kv)(\..*)", _OURS + r".attn.\3\4"),
    (_BLOCK + r"\.attn\.(sr|norm)(\..*)", _OURS + r".attn.\3\4"),
    (_BLOCK + r"\.(norm[12])(\..*)", _OURS + r".\3\4"),
    # The feed-forward network: 0 and 4 are 1x1 convolutions, 1 is the depthwise one.
    (_BLOCK + r"\.ffn\.layers\.0(\..*)", _OURS + r".mlp.fc1\3"),
    (_BLOCK + r"\.ffn\.layers\.1(\..*)", _OURS + r".mlp.dwconv\3"),
    (_BLOCK + r"\.ffn\.layers\.4(\..*)", _OURS + r".mlp.fc2\3"),
)


def plain_mit(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Split mmsegmentation's joint projections into q and kv; make its 1x1 convolutions linear."""
    plain: dict[str, Tensor] = {}
    for key, value in state.items():
        module, _, leaf = key.rpartition(".")
        if leaf.startswith("in_proj_"):
            # nn.MultiheadAttention has q, k and v in one parameter; timm has k and v together.
            kind = leaf.removeprefix("in_proj_")
            width = len(value) // 3
            plain[f"{module}.q.{kind}"] = value[:width]
            plain[f"{module}.kv.{kind}"] = value[width:]
        elif leaf == "weight" and module.endswith((".ffn.layers.0", ".ffn.layers.4")):
            plain[key] = value.flatten(1)
        else:
            plain[key] = value
    return plain


def which_swin(state: Mapping[str, Tensor], embedding: str, table: str, block: str) -> str | None:
    """Return the Swin's name, or None.

    Args:
        state: the file's entries.
        embedding: key of the patch embedding's weight.
        table: key of the first block's bias table, whose length tells the window.
        block: pattern of a block's key, with ``{}`` for the stage and the block as group 1.
    """
    if embedding not in state or table not in state:
        return None
    width = len(state[embedding])
    depths = tuple(count(state, block.format(stage)) for stage in range(4))
    # The table is [(2 window - 1)^2, heads].
    cases, heads = state[table].shape
    window = (round(cases**0.5) + 1) // 2
    for name, size in SWINS.items():
        known = (size.width, size.depths, size.heads[0], size.window)
        if known == (width, depths, heads, window):
            return name
    return None


SWIN_ORIGINAL: Rules = (
    # Computed from the window and the size of the images, not learned.
    (r".*\.(?:relative_position_index|attn_mask)", None),
    (r"backbone\.patch_embed\.proj(\..*)", r"backbone.patch_embed\1"),
    (r"backbone\.patch_embed\.norm(\..*)", r"backbone.patch_norm\1"),
    (r"backbone\.layers\.(\d)\.blocks(\..*)", r"backbone.stages.\1\2"),
    (r"backbone\.layers\.(\d)\.downsample(\..*)", r"backbone.merges.\1\2"),
    (r"backbone\.norm(\d)(\..*)", r"backbone.norms.\1\2"),
)
_SWIN_BLOCK = r"backbone\.stages\.(\d)\.blocks\.(\d+)"
SWIN_MMSEG: Rules = (
    (r".*\.relative_position_index", None),
    (r"backbone\.patch_embed\.projection(\..*)", r"backbone.patch_embed\1"),
    (r"backbone\.patch_embed\.norm(\..*)", r"backbone.patch_norm\1"),
    (_SWIN_BLOCK + r"\.attn\.w_msa(\..*)", r"backbone.stages.\1.\2.attn\3"),
    (_SWIN_BLOCK + r"\.ffn\.layers\.0\.0(\..*)", r"backbone.stages.\1.\2.mlp.fc1\3"),
    (_SWIN_BLOCK + r"\.ffn\.layers\.1(\..*)", r"backbone.stages.\1.\2.mlp.fc2\3"),
    (r"backbone\.stages\.(\d)\.blocks(\..*)", r"backbone.stages.\1\2"),
    (r"backbone\.stages\.(\d)\.downsample(\..*)", r"backbone.merges.\1\2"),
    (r"backbone\.norm(\d)(\..*)", r"backbone.norms.\1\2"),
)


def original_merging(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Reorder mmsegmentation's patch merging to the original's order of the four neighbors.

    Its 4C inputs run channel by channel (C times four neighbors), the original's neighbor by
    neighbor (four times C channels).
    """
    original = {}
    for key, value in state.items():
        if re.search(r"\.downsample\.(norm|reduction)\.", key):
            neighbors = value.reshape(*value.shape[:-1], -1, 4)[..., _BY_COLUMN]
            value = neighbors.transpose(-1, -2).flatten(-2).contiguous()
        original[key] = value
    return original
