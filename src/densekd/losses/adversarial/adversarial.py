"""Adversarial, holistic distillation (Liu et al., arXiv 1903.04197, eq. 4; gradient penalty: arXiv
1704.00028)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from densekd.losses.adversarial.discriminator import (
    Discriminator,
    Objective,
    Preprocess,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
)
from densekd.ops.ranges import NonNegative
from densekd.ops.shapes import require_one_shape

# AdamW without weight decay is Adam.
ADAM = {
    "method": "adamw",
    "lr": 4e-4,
    "betas": (0.9, 0.99),
    "weight_decay": 0.0,
    "floor": 0.0,
    "warmup": 0,
}


class Adversarial(nn.Module):
    """Adversarial distillation: a discriminator (critic) compares the logits of both networks.

    A game of two players as one scalar: ``-mean D'(S) + discriminator_weight * (game + penalty)``.
    D' is the discriminator D with its parameters held constant: the first summand moves the student
    alone. The others see the student's values without gradient and move the discriminator alone. So
    one backward and one step equal TorchDistiller's alternation: first the student, then the
    discriminator, on the same logits. ``game``: ``mean D(S) - mean D(T)`` (wgan-gp) or
    ``mean relu(1 - D(T)) + mean relu(1 + D(S))`` (hinge). ``penalty``, with wgan-gp alone:
    ``penalty_weight * mean_b (|d sum D(x_b) / d x_b|_2 - 1)^2`` at x = a T + (1 - a) S, one
    a ~ U(0, 1) per image.

    How the discriminator learns is in ``optimization``, as those fields of
    :class:`densekd.distill.optimizers.OptimizerConfig` that differ from the student's: Adam, lr 4e-4,
    betas (0.9, 0.99); it decays with the student's power (TorchDistiller, HWD).

    Tap: ``logits``. Weight: lambda_adv, 0.001 in all systems; the discriminator's part then weighs
    lambda_d = 0.1. Cost: four passes of a discriminator with 3.2 M parameters, and one backward pass
    of the last, differentiated again.

    Args:
        student_channels: channels of both maps; supplied by the build.
        objective: ``wgan-gp`` (TorchDistiller) or ``hinge`` (CIRKD, HWD).
        preprocess: ``batch_norm`` (as all ship), ``tanh`` or ``image``; see
            :class:`densekd.losses.adversarial.discriminator.Discriminator`.
        discriminator_weight: lambda_d / lambda_adv.
        penalty_weight: lambda_gp.
        optimization: replaces single fields; CIRKD's constant rate is ``{power: 0}``.

    Shape:
        student, teacher: logits ``[B, C, H, W]`` of any size; target: ignored. Returns a scalar of
        either sign.

    Raises:
        ValueError: shapes that differ.
    """

    def __init__(
        self,
        student_channels: int,
        objective: Objective = "wgan-gp",
        preprocess: Preprocess = "batch_norm",
        discriminator_weight: NonNegative = 100.0,
        penalty_weight: NonNegative = 10.0,
        optimization: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.objective = objective
        self.discriminator_weight = discriminator_weight
        self.penalty_weight = penalty_weight
        self.discriminator = Discriminator(student_channels, preprocess)
        self.optimization = ADAM | dict(optimization or {})

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return generator, discriminator and penalty terms as one scalar, in the discriminator's
        precision."""
        require_one_shape(student, teacher)
        dtype = self.discriminator.score.weight.dtype
        fake = student.to(dtype)
        real = teacher.detach().to(dtype)
        # Generator: the student, judged by a discriminator that does not move.
        constant = {}
        for name, parameter in self.discriminator.named_parameters():
            constant[name] = parameter.detach()
        generator = generator_loss(functional_call(self.discriminator, constant, (fake,)))
        # Discriminator: the student's values do not move.
        fake = fake.detach()
        scores = self.discriminator(fake)
        game = discriminator_loss(scores, self.discriminator(real), self.objective)
        if self.objective == "wgan-gp" and self.penalty_weight:
            game = game + self.penalty_weight * self._penalty(fake, real)
        return generator + self.discriminator_weight * game

    def _penalty(self, fake: Tensor, real: Tensor) -> Tensor:
        """Return the gradient penalty between both maps, at one random place for each image."""
        share = torch.rand(len(fake), 1, 1, 1, dtype=fake.dtype, device=fake.device)
        penalty = gradient_penalty
        if torch.compiler.is_compiling():
            # A compiled graph cannot be differentiated twice. As a decorator this would import the
            # compiler.
            penalty = torch.compiler.disable(gradient_penalty)  # type: ignore[no-untyped-call]
        return penalty(self.discriminator, share * real + (1 - share) * fake)
