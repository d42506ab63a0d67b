"""Adversarial (holistic) distillation: a discriminator compares the logits of student and teacher."""

from densekd.losses.adversarial.adversarial import Adversarial

__all__ = ["Adversarial"]
