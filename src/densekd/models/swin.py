"""Swin transformers (Liu et al., ICCV 2021, arXiv 2103.14030) for maps of any size.

As in the original, windows are padded after the norm and shifted on the padded map, also where
there is a single window. timm, torchvision and transformers each do this differently, and so give
other numbers at sizes that do not divide.

Shapes: B images, H and W height and width of a map, C channels, w the side of a window, N = w^2 the
tokens of a window, n the windows of a map.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from timm.layers.drop import DropPath
from timm.layers.mlp import Mlp
from torch import Tensor, nn

from densekd.models.initialize import truncated_linear


@dataclass(frozen=True)
class SwinSize:
    """Size of a Swin transformer.

    Args:
        width: channels of the first stage.
        depths: blocks of the four stages.
        heads: attention heads of the four stages.
        window: side of a window in tokens.
    """

    width: int
    depths: tuple[int, int, int, int]
    heads: tuple[int, int, int, int]
    window: int = 7


SWINS = {
    "swin_tiny": SwinSize(96, (2, 2, 6, 2), (3, 6, 12, 24)),
    "swin_small": SwinSize(96, (2, 2, 18, 2), (3, 6, 12, 24)),
    "swin_base": SwinSize(128, (2, 2, 18, 2), (4, 8, 16, 32)),
    "swin_base_window12": SwinSize(128, (2, 2, 18, 2), (4, 8, 16, 32), 12),
    "swin_large": SwinSize(192, (2, 2, 18, 2), (6, 12, 24, 48)),
    "swin_large_window12": SwinSize(192, (2, 2, 18, 2), (6, 12, 24, 48), 12),
}


class WindowAttention(nn.Module):
    """Self-attention inside windows with a learned bias for every relative position.

    Args:
        dim: channels.
        heads: number of heads.
        window: side of a window.

    Shape:
        windows ``[B, n, N, dim]``, mask ``[n, 1, N, N]`` or None -> windows.
    """

    relative_position_index: Tensor

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        # Two tokens are between 1 - w and w - 1 rows and columns apart: (2 w - 1)^2 cases.
        cases = 2 * window - 1
        self.relative_position_bias_table = nn.Parameter(torch.zeros(cases**2, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        # The row and column of every token, then how far each pair is apart, counted from 0.
        y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
        rows = y.flatten()[:, None] - y.flatten()[None] + window - 1
        columns = x.flatten()[:, None] - x.flatten()[None] + window - 1
        # The entry of the table for every pair of tokens, [N, N].
        self.register_buffer("relative_position_index", rows * cases + columns, persistent=False)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Attend within each window."""
        B, n, N, C = x.shape
        qkv = self.qkv(x).view(B, n, N, 3, self.heads, C // self.heads)
        # Three times [B, n, heads, N, C / heads].
        q, k, v = qkv.permute(3, 0, 1, 4, 2, 5)
        # The bias is one for all windows, [1, heads, N, N]; the mask is one for all heads.
        bias = self.relative_position_bias_table[self.relative_position_index]
        bias = bias.permute(2, 0, 1)[None]
        if mask is not None:
            bias = bias + mask
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        projected: Tensor = self.proj(attended.transpose(2, 3).reshape(B, n, N, C))
        return projected


class SwinBlock(nn.Module):
    """(Shifted) window attention and an MLP, each after a norm and beside a skip connection.

    Args:
        dim: channels.
        heads: number of heads.
        window: side of a window.
        shift: by how much the windows are displaced.
        drop_path: probability with which a branch is left out in training (stochastic depth).

    Shape:
        ``[B, H, W, dim]`` -> the same.
    """

    def __init__(self, dim: int, heads: int, window: int, shift: int, drop_path: float) -> None:
        super().__init__()
        self.window = window
        self.shift = shift
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, heads, window)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, 4 * dim)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Return the next map."""
        x = x + self.drop_path(self._attend(self.norm1(x)))
        y: Tensor = x + self.drop_path(self.mlp(self.norm2(x)))
        return y

    def _attend(self, x: Tensor) -> Tensor:
        B, H, W, C = x.shape
        w = self.window
        # Pad with zeros at the bottom and right to whole windows.
        x = F.pad(x, (0, 0, 0, -W % w, 0, -H % w))
        rows = x.shape[1] // w
        columns = x.shape[2] // w
        mask = None
        if self.shift:
            # Rolling the map displaces the windows; the mask separates what wraps around.
            x = x.roll((-self.shift, -self.shift), (1, 2))
            mask = self._mask(rows, columns, x)
        # Partition into windows, attend, and put the windows back.
        x = x.view(B, rows, w, columns, w, C).transpose(2, 3).reshape(B, rows * columns, w * w, C)
        x = self.attn(x, mask)
        x = x.view(B, rows, columns, w, w, C).transpose(2, 3).reshape(B, rows * w, columns * w, C)
        if self.shift:
            x = x.roll((self.shift, self.shift), (1, 2))
        return x[:, :H, :W]

    def _mask(self, rows: int, columns: int, like: Tensor) -> Tensor:
        """Attention mask: -100 between tokens that are neighbors only because the map was rolled.

        Args:
            rows: windows from top to bottom.
            columns: windows from left to right.
            like: for device and precision.

        Returns:
            ``[n, 1, N, N]``.
        """
        w = self.window
        # Where the map was rolled it has up to nine regions that do not touch; number them.
        down = self._bands(rows, like.device)
        across = self._bands(columns, like.device)
        region = 3 * down[:, None] + across[None]
        region = region.view(rows, w, columns, w).transpose(1, 2).reshape(rows * columns, 1, w * w)
        apart = region[..., None] != region[..., None, :]
        return torch.where(apart, -100.0, 0.0).to(like.dtype)

    def _bands(self, windows: int, device: torch.device) -> Tensor:
        """Number the bands of a side: whole windows 0, own part of the last 1, what wrapped 2."""
        length = windows * self.window
        place = torch.arange(length, device=device)
        return (place >= length - self.window).int() + (place >= length - self.shift).int()


class PatchMerging(nn.Module):
    """Halve a map: four neighbors side by side, a norm, a linear map to twice the channels.

    Args:
        dim: channels.

    Shape:
        ``[B, H, W, dim]`` -> ``[B, ceil(H / 2), ceil(W / 2), 2 dim]``.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the smaller map."""
        # Pad odd sides with zeros.
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        # The original lists the four neighbors by column; its weights depend on the order.
        four = [x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]]
        merged: Tensor = self.reduction(self.norm(torch.cat(four, -1)))
        return merged


class Swin(nn.Module):
    """Four stages of windows, shifted in every other block, with a norm on each output.

    Args:
        name: one of ``SWINS``.
        drop_path: stochastic depth rate of the last block; it rises linearly from 0.

    Shape:
        ``[B, 3, H, W]`` -> maps at strides 4, 8, 16, 32.
    """

    def __init__(self, name: str, drop_path: float = 0.3) -> None:
        super().__init__()
        size = SWINS[name]
        # Every stage has twice the channels of the one before.
        self.channels = [size.width << stage for stage in range(4)]
        self.patch_embed = nn.Conv2d(3, size.width, 4, 4)
        self.patch_norm = nn.LayerNorm(size.width)
        # On the CPU also where the model is built on the meta device: numbers are needed.
        rates = iter(torch.linspace(0, drop_path, sum(size.depths), device="cpu").tolist())
        self.stages = nn.ModuleList()
        for dim, heads, depth in zip(self.channels, size.heads, size.depths, strict=True):
            stage = nn.Sequential()
            for block in range(depth):
                # Every second block displaces its windows by half a side.
                shift = size.window // 2 if block % 2 else 0
                stage.append(SwinBlock(dim, heads, size.window, shift, next(rates)))
            self.stages.append(stage)
        self.merges = nn.ModuleList(PatchMerging(dim) for dim in self.channels[:-1])
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for dim in self.channels)
        truncated_linear(self)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the four normalized maps, finest first."""
        H, W = images.shape[-2:]
        # Pad to whole patches of 4 x 4; from here on channels come last.
        images = F.pad(images, (0, -W % 4, 0, -H % 4))
        x = self.patch_norm(self.patch_embed(images).permute(0, 2, 3, 1))
        maps = []
        for index, (stage, norm) in enumerate(zip(self.stages, self.norms, strict=True)):
            x = stage(x)
            # The norm is the output's alone; the next stage reads the map without it.
            maps.append(norm(x).permute(0, 3, 1, 2).contiguous())
            if index < len(self.merges):
                x = self.merges[index](x)
        return maps
