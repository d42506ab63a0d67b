"""The transformers inside published files: which one it is, and how its parts are called."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from densekd.models.checkpoints.layout import Rules, count
from densekd.models.mit import MITS
from densekd.models.swin import SWINS

# The four neighbours of a merged patch: the original lists them by column, mmsegmentation's unfolding by row.
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
    depths = tuple(count(state, block.format(stage)) for stage in range(first, first + 4))
    width = len(state[embedding])
    return next((name for name, (widths, d) in MITS.items() if (widths[0], d) == (width, depths)), None)


def mit(prefix: str) -> Rules:
    """Rules for NVlabs' names (also SegDistill's and CIRKD's)."""
    rules: list[tuple[str, str | None]] = [(rf"{prefix}patch_embed1(\..*)", r"backbone.patch_embed\1")]
    for k in range(4):
        rules += [
            (rf"{prefix}patch_embed{k + 1}(\..*)", rf"backbone.stages.{k}.downsample\1"),
            (rf"{prefix}block{k + 1}\.(\d+\.mlp\.dwconv)\.dwconv(\..*)", rf"backbone.stages.{k}.blocks.\1\2"),
            (rf"{prefix}block{k + 1}(\..*)", rf"backbone.stages.{k}.blocks\1"),
            (rf"{prefix}norm{k + 1}(\..*)", rf"backbone.stages.{k}.norm\1"),
        ]
    return tuple(rules)


MIT_MMSEG: Rules = (
    (r"backbone\.layers\.0\.0\.projection(\..*)", r"backbone.patch_embed.proj\1"),
    (r"backbone\.layers\.0\.0\.norm(\..*)", r"backbone.patch_embed.norm\1"),
    (r"backbone\.layers\.(\d)\.0\.projection(\..*)", r"backbone.stages.\1.downsample.proj\2"),
    (r"backbone\.layers\.(\d)\.0\.norm(\..*)", r"backbone.stages.\1.downsample.norm\2"),
    (r"backbone\.layers\.(\d)\.2(\..*)", r"backbone.stages.\1.norm\2"),
    (r"backbone\.layers\.(\d)\.1\.(\d+)\.attn\.attn\.out_proj(\..*)", r"backbone.stages.\1.blocks.\2.attn.proj\3"),
    (r"backbone\.layers\.(\d)\.1\.(\d+)\.attn\.attn\.(q|kv)(\..*)", r"backbone.stages.\1.blocks.\2.attn.\3\4"),
    (r"backbone\.layers\.(\d)\.1\.(\d+)\.attn\.(sr|norm)(\..*)", r"backbone.stages.\1.blocks.\2.attn.\3\4"),
    (r"backbone\.layers\.(\d)\.1\.(\d+)\.(norm[12])(\..*)", r"backbone.stages.\1.blocks.\2.\3\4"),
    (r"backbone\.layers\.(\d)\.1\.(\d+)\.ffn\.layers\.0(\..*)", r"backbone.stages.\1.blocks.\2.mlp.fc1\3"),
    (r"backbone\.layers\.(\d)\.1\.(\d+)\.ffn\.layers\.1(\..*)", r"backbone.stages.\1.blocks.\2.mlp.dwconv\3"),
    (r"backbone\.layers\.(\d)\.1\.(\d+)\.ffn\.layers\.4(\..*)", r"backbone.stages.\1.blocks.\2.mlp.fc2\3"),
)


def plain_mit(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take mmsegmentation's joint projections apart (q, then k and v) and its 1x1 convolutions for linear layers."""
    plain: dict[str, Tensor] = {}
    for key, value in state.items():
        head, _, leaf = key.rpartition(".")
        if leaf.startswith("in_proj_"):
            kind = leaf.removeprefix("in_proj_")
            q, kv = torch.split(value, [len(value) // 3, 2 * len(value) // 3])
            plain |= {f"{head}.q.{kind}": q, f"{head}.kv.{kind}": kv}
        else:
            linear = leaf == "weight" and head.endswith((".ffn.layers.0", ".ffn.layers.4"))
            plain[key] = value.flatten(1) if linear else value
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
    depths = tuple(count(state, block.format(stage)) for stage in range(4))
    side = round(len(state[table]) ** 0.5)
    facts = len(state[embedding]), depths, state[table].shape[1], (side + 1) // 2
    known = {name: (s.width, s.depths, s.heads[0], s.window) for name, s in SWINS.items()}
    return next((name for name, known_facts in known.items() if known_facts == facts), None)


SWIN_ORIGINAL: Rules = (
    (r".*\.relative_position_index", None),
    (r"backbone\.patch_embed\.proj(\..*)", r"backbone.patch_embed\1"),
    (r"backbone\.patch_embed\.norm(\..*)", r"backbone.patch_norm\1"),
    (r"backbone\.layers\.(\d)\.blocks(\..*)", r"backbone.stages.\1\2"),
    (r"backbone\.layers\.(\d)\.downsample(\..*)", r"backbone.merges.\1\2"),
    (r"backbone\.norm(\d)(\..*)", r"backbone.norms.\1\2"),
)
SWIN_MMSEG: Rules = (
    (r".*\.relative_position_index", None),
    (r"backbone\.patch_embed\.projection(\..*)", r"backbone.patch_embed\1"),
    (r"backbone\.patch_embed\.norm(\..*)", r"backbone.patch_norm\1"),
    (r"backbone\.stages\.(\d)\.blocks\.(\d+)\.attn\.w_msa(\..*)", r"backbone.stages.\1.\2.attn\3"),
    (r"backbone\.stages\.(\d)\.blocks\.(\d+)\.ffn\.layers\.0\.0(\..*)", r"backbone.stages.\1.\2.mlp.fc1\3"),
    (r"backbone\.stages\.(\d)\.blocks\.(\d+)\.ffn\.layers\.1(\..*)", r"backbone.stages.\1.\2.mlp.fc2\3"),
    (r"backbone\.stages\.(\d)\.blocks(\..*)", r"backbone.stages.\1\2"),
    (r"backbone\.stages\.(\d)\.downsample(\..*)", r"backbone.merges.\1\2"),
    (r"backbone\.norm(\d)(\..*)", r"backbone.norms.\1\2"),
)


def original_merging(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Reorder mmsegmentation's patch merging, whose 4C inputs run channel by channel, to the original's four blocks."""

    def reordered(x: Tensor) -> Tensor:
        by_channel = x.reshape(*x.shape[:-1], -1, 4)[..., _BY_COLUMN]
        return by_channel.transpose(-1, -2).flatten(-2).contiguous()

    return {
        key: reordered(value) if re.search(r"\.downsample\.(norm|reduction)\.", key) else value
        for key, value in state.items()
    }
