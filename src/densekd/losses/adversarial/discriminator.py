"""Discriminator (critic) of holistic distillation for maps of any size, and its objectives (Liu et
al., arXiv 1903.04197, section 3.2)."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densekd.losses.adversarial.sagan import SelfAttention, SpectralConv

Preprocess = Literal["batch_norm", "tanh", "image"]
Objective = Literal["wgan-gp", "hinge"]
WIDTHS = (64, 128, 256, 512)
# Blocks of at least this width are followed by self-attention.
ATTENTION_WIDTH = 256
# Four halvings and a 4x4 convolution need that many rows and columns.
SMALLEST = 64


class Discriminator(nn.Module):
    """Discriminator of logits: four blocks, two with self-attention, and a 4x4 convolution.

    The originals accept 65x65 (TorchDistiller, CIRKD) or 64x64 (HWD) alone; there it is the same
    function. Sides below 64 are upsampled to 64 (bilinear), longer ones give a map of scores.

    Args:
        channels: of the logits.
        preprocess: ``batch_norm`` (the originals' mode 1), ``tanh`` (2), or ``image``:
            2 (x / 255 - 0.5) (3).

    Shape:
        ``[B, channels, H, W]`` -> ``[B, 1, h, w]`` with h = max(H, 64) // 16 - 3, w likewise.

    Raises:
        ValueError: a map of other channels.
    """

    def __init__(self, channels: int, preprocess: Preprocess = "batch_norm") -> None:
        super().__init__()
        self.channels = channels
        self.preprocess = preprocess
        self.norm: nn.Module = nn.Identity()
        if preprocess == "batch_norm":
            self.norm = nn.BatchNorm2d(channels)
        self.blocks = nn.ModuleList()
        for inputs, outputs in zip((channels, *WIDTHS), WIDTHS, strict=False):
            self.blocks.append(SpectralConv(inputs, outputs))
        self.attentions = nn.ModuleList()
        for width in WIDTHS:
            attends = width >= ATTENTION_WIDTH
            self.attentions.append(SelfAttention(width) if attends else nn.Identity())
        self.score = nn.Conv2d(WIDTHS[-1], 1, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores, high for the teacher."""
        if x.shape[1] != self.channels:
            raise ValueError(f"the discriminator was built for {self.channels} channels, got {list(x.shape)}")
        x = self._preprocessed(x)
        for block, attention in zip(self.blocks, self.attentions, strict=True):
            x = attention(F.leaky_relu(block(x), 0.1))
        scores: Tensor = self.score(x)
        return scores

    def _preprocessed(self, x: Tensor) -> Tensor:
        # Small maps are upsampled to the least size that the blocks accept.
        H, W = x.shape[-2:]
        if min(H, W) < SMALLEST:
            size = (max(H, SMALLEST), max(W, SMALLEST))
            x = F.interpolate(x, size=size, mode="bilinear", align_corners=False)
        if self.preprocess == "tanh":
            return x.tanh()
        if self.preprocess == "image":
            return 2 * (x / 255 - 0.5)
        normalized: Tensor = self.norm(x)
        return normalized


def generator_loss(fake: Tensor) -> Tensor:
    """Return ``-mean D(S)`` of the student's scores."""
    return -fake.mean()


def discriminator_loss(fake: Tensor, real: Tensor, objective: Objective) -> Tensor:
    """Return the discriminator's objective from the scores of student and teacher."""
    if objective == "hinge":
        return (1 - real).relu().mean() + (1 + fake).relu().mean()
    return fake.mean() - real.mean()


def gradient_penalty(discriminator: nn.Module, x: Tensor) -> Tensor:
    """Return the mean over images of (|d sum D(x_b) / d x_b|_2 - 1)^2, which differentiates again."""
    with torch.enable_grad():
        if not x.requires_grad:
            x = x.detach().requires_grad_()
        (grad,) = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)
    norms: Tensor = torch.linalg.vector_norm(grad.flatten(1), dim=1)
    return (norms - 1).square().mean()
