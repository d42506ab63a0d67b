"""Mask classifiers (MaskFormer, Mask2Former, OneFormer, EoMT) as per-pixel classifiers."""

import torch
import torch.nn.functional as F
from torch import Tensor


def mask_logits(classes: Tensor, masks: Tensor) -> Tensor:
    """Turn the predictions of queries into per-pixel logits.

    MaskFormer, arXiv 2107.06278, section 3.4: ``log sum_q p_q(c) sigmoid(m_q)``, with ``p_q`` the
    softmax over classes and "no object", which is left out of the result. The sum is what the
    authors and transformers take the maximum of. Its logarithm has the same maximum and makes
    logits of it: their softmax is each class's share of the sum, while the softmax of the sums
    themselves, which all lie in [0, Q], would be nearly uniform.

    Args:
        classes: logits of the Q queries, ``[B, Q, C + 1]``, "no object" last.
        masks: logits of their masks, ``[B, Q, h, w]``.

    Returns:
        ``[B, C, h, w]`` in float32.
    """
    with torch.autocast(classes.device.type, enabled=False):
        probability = classes.float().softmax(-1)[..., :-1]
        # Relative to each pixel's surest mask, so that the sum does not vanish where no query
        # claims the pixel (log-sum-exp).
        # The logarithm of the sigmoid, which does not vanish: exporters write F.logsigmoid as two operations that do.
        claims = -F.softplus(-masks.float())
        surest = claims.amax(1, keepdim=True).detach()
        scores = torch.einsum("bqc,bqhw->bchw", probability, (claims - surest).exp())
        return surest + scores.clamp(min=torch.finfo(scores.dtype).tiny).log()
