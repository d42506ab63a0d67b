"""Mix transformers (MiT), SegFormer's encoders (arXiv 2105.15203), built from timm's PVTv2."""

from timm.models.pvt_v2 import PyramidVisionTransformerV2
from torch import Tensor, nn

# Embedding widths and blocks of the four stages. The rest is the same in all.
MITS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "mit_b0": ((32, 64, 160, 256), (2, 2, 2, 2)),
    "mit_b1": ((64, 128, 320, 512), (2, 2, 2, 2)),
    "mit_b2": ((64, 128, 320, 512), (3, 4, 6, 3)),
    "mit_b3": ((64, 128, 320, 512), (3, 4, 18, 3)),
    "mit_b4": ((64, 128, 320, 512), (3, 8, 27, 3)),
    "mit_b5": ((64, 128, 320, 512), (3, 6, 40, 3)),
}


class MixTransformer(nn.Module):
    """Mix transformer: overlapping patches, spatially reduced attention, convolutional MLPs.

    Args:
        name: one of ``MITS``.
        norm_eps: of the layer norms after patch embeddings and spatial reductions; those of blocks
            and stages have 1e-6.
        drop_path: stochastic depth rate of the last block; it rises linearly from 0.

    Shape:
        ``[B, 3, H, W]`` -> maps at strides 4, 8, 16, 32.
    """

    def __init__(self, name: str, norm_eps: float, drop_path: float = 0.1) -> None:
        super().__init__()
        widths, depths = MITS[name]
        body = PyramidVisionTransformerV2(
            num_classes=0,
            embed_dims=widths,
            depths=depths,
            num_heads=(1, 2, 5, 8),
            sr_ratios=(8, 4, 2, 1),
            mlp_ratios=(4, 4, 4, 4),
            drop_path_rate=drop_path,
        )
        self.patch_embed = body.patch_embed
        self.stages = body.stages
        for module in self.modules():
            # timm's own LayerNorm has 1e-6; these are torch's, and the families differ in them.
            if type(module) is nn.LayerNorm:
                module.eps = norm_eps

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the four normalized maps, finest first."""
        x = self.patch_embed(images)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps
