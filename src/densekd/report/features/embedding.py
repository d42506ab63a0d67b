"""Embedding of features in the plane: PCA, t-SNE, and how well neighbors agree."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# Principal components that t-SNE is given, as its authors do, and its usual perplexity.
_COMPONENTS = 50
_PERPLEXITY = 30.0
# Rows of the matrix of distances that are held at a time.
_ROWS = 512

INSTALL = "t-SNE needs scikit-learn: pip install 'densekd[features]'"


def pca(features: Tensor, components: int = 2) -> tuple[Tensor, Tensor]:
    """Project features on their principal components (PCA).

    Args:
        features: ``[N, C]``, N >= 1.
        components: how many; those that there are not are zero.

    Returns:
        float32 ``[N, components]``, and the share of the variance along each, ``[components]``.
        Of the two directions of a component that is taken in which its largest weight is positive.
    """
    N, C = features.shape
    centered = features.double() - features.double().mean(0)
    _, deviations, directions = torch.linalg.svd(centered, full_matrices=False)
    # The sign of a singular vector means nothing; without a rule it depends on the machine.
    largest = directions.abs().argmax(1, keepdim=True)
    directions = directions * directions.gather(1, largest).sign()
    found = min(components, N, C)
    points = torch.zeros(N, components, dtype=torch.float64)
    points[:, :found] = centered @ directions[:found].mT
    share = torch.zeros(components, dtype=torch.float64)
    variance = deviations.square()
    share[:found] = variance[:found] / variance.sum().clamp(min=1e-30)
    return points.float(), share.float()


def tsne(features: Tensor, seed: int) -> Tensor | None:
    """Embed features by t-SNE (van der Maaten and Hinton 2008), after PCA to 50 dimensions.

    Args:
        features: ``[N, C]``.
        seed: of scikit-learn's implementation.

    Returns:
        float32 ``[N, 2]``; None with fewer than four points, which have no neighborhoods.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    embed = _sklearn_tsne()
    N = len(features)
    if N < 4:
        return None
    reduced, _ = pca(features, min(_COMPONENTS, features.shape[1], N))
    # Features of any scale: t-SNE begins with steps of one size.
    reduced = reduced / reduced.std().clamp(min=1e-12)
    perplexity = min(_PERPLEXITY, (N - 1) / 3)
    # As many dimensions as the plane has are needed to begin from PCA.
    begin = "pca" if reduced.shape[1] >= 2 else "random"
    fitted = embed(perplexity=perplexity, init=begin, random_state=seed, n_jobs=1)
    return torch.from_numpy(fitted.fit_transform(reduced.numpy())).float()


def neighbor_agreement(features: Tensor, groups: Tensor) -> float:
    """Return the share of points whose nearest other point belongs to the same group, 0 to 1.

    Args:
        features: ``[N, C]``, N >= 2.
        groups: int64 ``[N]``.
    """
    nearest: list[Tensor] = []
    for first in range(0, len(features), _ROWS):
        distances = torch.cdist(features[first : first + _ROWS], features)
        rows = torch.arange(len(distances))
        # A point is not its own neighbor.
        distances[rows, first + rows] = torch.inf
        nearest.append(distances.argmin(1))
    return float((groups[torch.cat(nearest)] == groups).float().mean())


def _sklearn_tsne() -> Callable[..., Any]:
    """Import scikit-learn's implementation, which is an optional dependency."""
    from sklearn.manifold import TSNE

    found: Callable[..., Any] = TSNE
    return found
