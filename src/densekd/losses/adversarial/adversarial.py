"""Adversarial, holistic distillation (Liu et al., arXiv 1903.04197, eq. 4; gradient penalty: arXiv 1704.00028)."""

from collections.abc import Mapping
from typing import Any, get_args

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
from densekd.losses.inputs import require_one_shape

# AdamW without weight decay is Adam.
ADAM = {"method": "adamw", "lr": 4e-4, "betas": (0.9, 0.99), "weight_decay": 0.0, "floor": 0.0, "warmup": 0}


class Adversarial(nn.Module):
    """A game of two players as one scalar: ``-mean D'(S) + discriminator_weight * (game + penalty)``.

    D' is the discriminator D with its parameters held constant: the first summand moves the student alone. The others
    see the student's values without gradient and move the discriminator alone. So one backward and one step equal
    TorchDistiller's alternation: first the student, then the discriminator, on the same logits. ``game``:
    ``mean D(S) - mean D(T)`` (wgan-gp)
    or ``mean relu(1 - D(T)) + mean relu(1 + D(S))`` (hinge). ``penalty``, with wgan-gp alone:
    ``penalty_weight * mean_b (|d sum D(x_b) / d x_b|_2 - 1)^2`` at x = a T + (1 - a) S, one a ~ U(0, 1) per image.

    How the discriminator learns stands in ``optimization``, as those fields of
    :class:`densekd.distill.optimizers.OptimizerConfig` that differ
    from the student's: Adam, lr 4e-4, betas (0.9, 0.99); it decays with the student's power (TorchDistiller, HWD).

    Tap: ``logits``. Weight: lambda_adv, 0.001 in all systems; the discriminator's part then weighs lambda_d = 0.1.
    Cost: four passes of a discriminator with 3.2 M parameters, and one backward pass of the last, differentiated again.

    Args:
        student_channels: channels of both maps; supplied by the build.
        objective: ``wgan-gp`` (TorchDistiller) or ``hinge`` (CIRKD, HWD).
        preprocess: ``batch_norm`` (as all ship), ``tanh`` or ``image``; see
            :class:`densekd.losses.adversarial.discriminator.Discriminator`.
        discriminator_weight: lambda_d / lambda_adv.
        penalty_weight: lambda_gp.
        optimization: replaces single fields; CIRKD's constant rate is ``{power: 0}``.

    Shape:
        student, teacher: logits ``[B, C, H, W]`` of any size; target: ignored. Returns a scalar of either sign.

    Raises:
        ValueError: an unknown choice or a negative weight.
    """

    def __init__(
        self,
        student_channels: int,
        objective: Objective = "wgan-gp",
        preprocess: Preprocess = "batch_norm",
        discriminator_weight: float = 100.0,
        penalty_weight: float = 10.0,
        optimization: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if objective not in get_args(Objective):
            raise ValueError(f"objective: '{objective}' is not one of {', '.join(get_args(Objective))}")
        if min(discriminator_weight, penalty_weight) < 0:
            raise ValueError(f"weights must not be negative, got {discriminator_weight} and {penalty_weight}")
        self.objective, self.discriminator_weight, self.penalty_weight = objective, discriminator_weight, penalty_weight
        self.discriminator = Discriminator(student_channels, preprocess)
        self.optimization = ADAM | dict(optimization or {})

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return generator, discriminator and penalty terms as one scalar in the discriminator's precision.

        Raises:
            ValueError: shapes that differ.
        """
        require_one_shape(student, teacher)
        dtype = self.discriminator.score.weight.dtype
        student, teacher = student.to(dtype), teacher.detach().to(dtype)
        constant = {name: parameter.detach() for name, parameter in self.discriminator.named_parameters()}
        generator = generator_loss(functional_call(self.discriminator, constant, (student,)))
        fake = student.detach()
        game = discriminator_loss(self.discriminator(fake), self.discriminator(teacher), self.objective)
        if self.objective == "wgan-gp" and self.penalty_weight:
            share = torch.rand(len(fake), 1, 1, 1, dtype=dtype, device=fake.device)
            penalty = gradient_penalty
            if torch.compiler.is_compiling():
                # A compiled graph cannot be differentiated twice. As a decorator this would import the compiler.
                penalty = torch.compiler.disable(gradient_penalty)  # type: ignore[no-untyped-call]
            game = game + self.penalty_weight * penalty(self.discriminator, share * teacher + (1 - share) * fake)
        return generator + self.discriminator_weight * game
