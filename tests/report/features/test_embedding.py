"""PCA, t-SNE and the agreement of neighbors on planted clusters."""

import sys

import pytest
import torch
from torch import Tensor

from densekd.report.features.embedding import neighbor_agreement, pca, tsne


def clusters(count: int, each: int, channels: int = 16) -> tuple[Tensor, Tensor]:
    """Return ``count`` clusters far apart on the axes, ``[N, C]``, and the cluster of each point."""
    generator = torch.Generator().manual_seed(1)
    groups = torch.arange(count).repeat_interleave(each)
    centers = 10 * torch.eye(channels)[groups]
    return centers + torch.randn(len(groups), channels, generator=generator), groups


def separation(points: Tensor, groups: Tensor) -> float:
    """Return the least distance of two centers divided by the greatest distance of a point to its own."""
    centers = torch.stack([points[groups == group].mean(0) for group in groups.unique()])
    apart = torch.pdist(centers).min()
    return float(apart / (points - centers[groups]).norm(dim=1).max())


def test_pca_finds_the_axis_of_most_variance() -> None:
    line = torch.linspace(-1, 1, 11)
    features = torch.stack([0.1 * line.square(), 3 * line, torch.zeros(11)], 1)
    points, share = pca(features)
    torch.testing.assert_close(points[:, 0], 3 * line)
    # 3 x has variance 9 * 0.4, 0.1 x^2 has 0.01 * (mean of x^4 - 0.4^2).
    second = 0.01 * float(line.pow(4).mean() - 0.16)
    assert share.tolist() == pytest.approx([3.6 / (3.6 + second), second / (3.6 + second)], rel=1e-5)


def test_pca_does_not_depend_on_the_sign_of_singular_vectors() -> None:
    features, _ = clusters(3, 20)
    torch.testing.assert_close(pca(features)[0], pca(features.flip(0))[0].flip(0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("shape", "zero"), [((5, 1), 1), ((1, 4), 0)])
def test_components_that_there_are_not_are_zero(shape: tuple[int, int], zero: int) -> None:
    points, share = pca(torch.arange(float(shape[0] * shape[1])).view(shape))
    assert points.shape == (shape[0], 2)
    assert not points[:, zero:].any()
    assert share[1] == 0


def test_planted_clusters_are_separated() -> None:
    features, groups = clusters(4, 25)
    points = tsne(features, seed=0)
    assert points is not None
    assert separation(points, groups) > 2
    # The plane of the two greatest components cannot hold four clusters on four axes; three it can.
    features, groups = clusters(3, 25)
    assert separation(pca(features)[0], groups) > 2


def test_tsne_is_the_same_under_one_seed() -> None:
    features, _ = clusters(3, 10)
    first, second = tsne(features, seed=3), tsne(features, seed=3)
    assert first is not None
    assert second is not None
    assert torch.equal(first, second)


@pytest.mark.parametrize("shape", [(4, 1), (5, 2), (12, 3)])
def test_tsne_of_few_points_and_channels(shape: tuple[int, int]) -> None:
    points = tsne(torch.randn(shape), seed=0)
    assert points is not None
    assert points.shape == (shape[0], 2)
    assert tsne(torch.randn(3, 8), seed=0) is None


def test_neighbor_agreement_by_hand() -> None:
    features = torch.tensor([[0.0], [1.0], [1.9], [10.0], [10.5]])
    # Nearest of 0 is 1, of 1 is 1.9, of 1.9 is 1, of 10 is 10.5 and back.
    assert neighbor_agreement(features, torch.tensor([0, 0, 1, 2, 2])) == pytest.approx(3 / 5)
    features, groups = clusters(6, 120)
    # More rows than are compared at a time: points in pairs, whose partner belongs to the other group.
    assert neighbor_agreement(features, groups) == 1
    pairs = torch.arange(600.0).repeat_interleave(2)[:, None] + torch.tensor([0.0, 0.1]).repeat(600)[:, None]
    assert neighbor_agreement(pairs, torch.arange(1200) % 2) == 0


def test_a_missing_scikit_learn_is_an_import_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(ImportError):
        tsne(torch.randn(9, 4), seed=0)
