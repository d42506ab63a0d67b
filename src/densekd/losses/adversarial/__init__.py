"""Adversarial, holistic distillation: a discriminator compares the logits of student and teacher (Liu
et al., CVPR 2019, arXiv 1903.04197, section 3.2).

``adversarial.py`` is the loss, with the gradient penalty of WGAN-GP (arXiv 1704.00028);
``discriminator.py`` the discriminator (critic) and its objectives; ``sagan.py`` its layers,
self-attention (SAGAN, arXiv 1805.08318) and spectral normalization (arXiv 1802.05957).
"""

from densekd.losses.adversarial.adversarial import Adversarial

__all__ = ["Adversarial"]
