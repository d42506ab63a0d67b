"""Swin transformers (Liu et al., ICCV 2021, arXiv 2103.14030) for maps of any size, as the original pads and shifts.

Windows are padded after the norm and shifted on the padded map, also where there is a single window. timm, torchvision
and transformers each do this differently, and so give other numbers at sizes that do not divide.
"""

from dataclasses import dataclass
from itertools import accumulate

import torch
import torch.nn.functional as F
from timm.layers.drop import DropPath
from timm.layers.mlp import Mlp
from torch import Tensor, nn


@dataclass(frozen=True)
class SwinSize:
    """Width of the first stage, blocks and heads of the four stages, side of a window."""

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
    """Self-attention inside windows with a learnt bias for every relative position.

    Args:
        dim: channels.
        heads: number of heads.
        window: side of a window.

    Shape:
        windows ``[B, n, window^2, dim]``, mask ``[n, 1, window^2, window^2]`` or None -> windows.
    """

    relative_position_index: Tensor

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
        rows, columns = (p.flatten()[:, None] - p.flatten()[None] + window - 1 for p in (y, x))
        self.register_buffer("relative_position_index", rows * (2 * window - 1) + columns, persistent=False)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Attend within each window."""
        B, n, N, C = x.shape
        q, k, v = self.qkv(x).view(B, n, N, 3, self.heads, C // self.heads).permute(3, 0, 1, 4, 2, 5)
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)[None]
        bias = bias if mask is None else bias + mask
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        projected: Tensor = self.proj(attended.transpose(2, 3).reshape(B, n, N, C))
        return projected


class SwinBlock(nn.Module):
    """Window attention and an MLP, each behind a norm and beside a skip connection.

    Args:
        dim: channels.
        heads: number of heads.
        window: side of a window.
        shift: by how much the windows are displaced.
        drop_path: probability with which a branch is left out in training.

    Shape:
        ``[B, H, W, dim]`` -> the same.
    """

    def __init__(self, dim: int, heads: int, window: int, shift: int, drop_path: float) -> None:
        super().__init__()
        self.window, self.shift = window, shift
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
        (B, H, W, C), w, s = x.shape, self.window, self.shift
        x = F.pad(x, (0, 0, 0, -W % w, 0, -H % w))
        rows, columns = x.shape[1] // w, x.shape[2] // w
        x = x.roll((-s, -s), (1, 2)) if s else x
        x = x.view(B, rows, w, columns, w, C).transpose(2, 3).reshape(B, rows * columns, w * w, C)
        x = self.attn(x, self._mask(rows, columns, x) if s else None)
        x = x.view(B, rows, columns, w, w, C).transpose(2, 3).reshape(B, rows * w, columns * w, C)
        x = x.roll((s, s), (1, 2)) if s else x
        return x[:, :H, :W]

    def _mask(self, rows: int, columns: int, like: Tensor) -> Tensor:
        """Keep positions apart that are neighbours only because the map was rolled: -100, as the original has it."""

        def regions(windows: int) -> Tensor:
            place = torch.arange(windows * self.window, device=like.device)
            last = windows * self.window
            return (place >= last - self.window).int() + (place >= last - self.shift).int()

        region = 3 * regions(rows)[:, None] + regions(columns)[None]
        w = self.window
        region = region.view(rows, w, columns, w).transpose(1, 2).reshape(rows * columns, 1, w * w)
        apart = region[..., None] != region[..., None, :]
        return torch.where(apart, -100.0, 0.0).to(like.dtype)


class PatchMerging(nn.Module):
    """Halve a map: four neighbours side by side, a norm, a linear map to twice the channels.

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
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        four = [x[:, row::2, column::2] for row, column in ((0, 0), (1, 0), (0, 1), (1, 1))]
        merged: Tensor = self.reduction(self.norm(torch.cat(four, -1)))
        return merged


class Swin(nn.Module):
    """Four stages of windows, shifted in every other block, with a norm on each output.

    Args:
        name: one of ``SWINS``.
        drop_path: rate of the last block; it rises linearly from 0.

    Shape:
        ``[B, 3, H, W]`` -> maps at strides 4, 8, 16, 32.
    """

    def __init__(self, name: str, drop_path: float = 0.3) -> None:
        super().__init__()
        size = SWINS[name]
        self.channels = [size.width << stage for stage in range(4)]
        self.patch_embed = nn.Conv2d(3, size.width, 4, 4)
        self.patch_norm = nn.LayerNorm(size.width)
        rates = torch.linspace(0, drop_path, sum(size.depths), device="cpu").tolist()
        ends = list(accumulate(size.depths))
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(
                    SwinBlock(dim, heads, size.window, block % 2 * (size.window // 2), rates[end - depth + block])
                    for block in range(depth)
                )
            )
            for dim, heads, depth, end in zip(self.channels, size.heads, size.depths, ends, strict=True)
        )
        self.merges = nn.ModuleList(PatchMerging(dim) for dim in self.channels[:-1])
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for dim in self.channels)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the four normalized maps, finest first."""
        H, W = images.shape[-2:]
        x = self.patch_norm(self.patch_embed(F.pad(images, (0, -W % 4, 0, -H % 4))).permute(0, 2, 3, 1))
        maps = []
        for index, (stage, norm) in enumerate(zip(self.stages, self.norms, strict=True)):
            x = stage(x)
            maps.append(norm(x).permute(0, 3, 1, 2).contiguous())
            if index < len(self.merges):
                x = self.merges[index](x)
        return maps
