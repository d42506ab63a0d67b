"""Discriminator of holistic distillation (Liu et al., arXiv 1903.04197, section 3.2) for any size; its objectives."""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densekd.losses.adversarial.sagan import SelfAttention, SpectralConv

Preprocess = Literal["batch_norm", "tanh", "image"]
Objective = Literal["wgan-gp", "hinge"]
WIDTHS = (64, 128, 256, 512)
# Four halvings and a 4x4 convolution need that many rows and columns.
SMALLEST = 64


class Discriminator(nn.Module):
    """Score whether logits come from the teacher: four blocks, two with attention, and a 4x4 convolution.

    The originals accept 65x65 (TorchDistiller, CIRKD) or 64x64 (HWD) alone; there it is the same function. Sides below
    64 are enlarged to 64 (bilinear), longer ones give a map of scores.

    Args:
        channels: of the logits.
        preprocess: ``batch_norm`` (the originals' mode 1), ``tanh`` (2), or ``image``: 2 (x / 255 - 0.5) (3).

    Shape:
        ``[B, channels, H, W]`` -> ``[B, 1, h, w]`` with h = max(H, 64) // 16 - 3, w likewise.

    Raises:
        ValueError: an unknown preprocess; a map of other channels.
    """

    def __init__(self, channels: int, preprocess: Preprocess = "batch_norm") -> None:
        super().__init__()
        if preprocess not in get_args(Preprocess):
            raise ValueError(f"preprocess: '{preprocess}' is not one of {', '.join(get_args(Preprocess))}")
        self.channels, self.preprocess = channels, preprocess
        self.norm = nn.BatchNorm2d(channels) if preprocess == "batch_norm" else nn.Identity()
        inputs = (channels, *WIDTHS[:-1])
        self.blocks = nn.ModuleList(SpectralConv(*pair) for pair in zip(inputs, WIDTHS, strict=True))
        self.attentions = nn.ModuleList(nn.Identity() if C < 256 else SelfAttention(C) for C in WIDTHS)
        self.score = nn.Conv2d(WIDTHS[-1], 1, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores, high for the teacher."""
        if x.shape[1] != self.channels:
            raise ValueError(f"the discriminator was built for {self.channels} channels, got {list(x.shape)}")
        x = self._prepared(x)
        for block, attention in zip(self.blocks, self.attentions, strict=True):
            x = attention(F.leaky_relu(block(x), 0.1))
        scores: Tensor = self.score(x)
        return scores

    def _prepared(self, x: Tensor) -> Tensor:
        H, W = x.shape[-2:]
        if min(H, W) < SMALLEST:
            x = F.interpolate(x, size=(max(H, SMALLEST), max(W, SMALLEST)), mode="bilinear", align_corners=False)
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
    """Return the discriminator's game from the scores of student and teacher."""
    if objective == "hinge":
        return (1 - real).relu().mean() + (1 + fake).relu().mean()
    return fake.mean() - real.mean()


def gradient_penalty(discriminator: nn.Module, x: Tensor) -> Tensor:
    """Return the mean over images of (|d sum D(x_b) / d x_b|_2 - 1)^2, differentiable in its parameters."""
    with torch.enable_grad():
        x = x if x.requires_grad else x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)
    norms: Tensor = torch.linalg.vector_norm(slope.flatten(1), dim=1)
    return (norms - 1).square().mean()
