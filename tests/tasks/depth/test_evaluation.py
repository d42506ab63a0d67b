"""Scores of depths by hand, and alignment that uses nothing but scale and shift."""

from pathlib import Path

import numpy as np
import pytest
import torch
from plain_scores import plain
from tiny_depth import make_depth
from torch import Tensor, nn

from densekd.data.depth import DepthFiles, depth
from densekd.errors import UserError
from densekd.tasks.depth import Depth, DepthEvaluation, DepthMetric
from densekd.tasks.depth.evaluation import to_depth


class Brightness(nn.Module):
    """Says that brightness is nearness, as it is in the tiny scenes; at half resolution, in a scale of its own."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(3.0))
        self.channels = channels

    def forward(self, images: Tensor) -> Tensor:
        red = nn.functional.avg_pool2d(images[:, :1], 2)
        return (self.factor * red + 5).expand(-1, self.channels, -1, -1)


@pytest.fixture
def files(tmp_path: Path) -> DepthFiles:
    return depth(make_depth(tmp_path, {"val": 3}), "val")


def test_scores_by_hand() -> None:
    truth = torch.tensor([[[1.0, 2.0], [4.0, 0.0]], [[5.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    predicted = torch.tensor([[[1.2, 2.0], [2.0, 9.0]], [[6.0, 1.0], [1.0, 1.0]], [[1.0, 1.0], [1.0, 1.0]]])
    metric = DepthMetric()
    metric.update(predicted, truth)
    scores = metric.compute()
    assert scores["absrel"] == pytest.approx(np.mean([(0.2 + 0 + 0.5) / 3, 0.2]))
    assert scores["rmse"] == pytest.approx(np.mean([((0.04 + 4) / 3) ** 0.5, 1]))
    assert scores["delta1"] == pytest.approx(100 * np.mean([2 / 3, 1]))
    low, high = metric.interval() or (0, 0)
    assert (low, high) == (pytest.approx(0.2), pytest.approx(0.7 / 3))


def test_nothing_measured_gives_none() -> None:
    metric = DepthMetric()
    assert metric.compute() == {"absrel": None, "rmse": None, "delta1": None}
    metric.update(torch.ones(2, 3, 3), torch.zeros(2, 3, 3))
    assert metric.compute() == {"absrel": None, "rmse": None, "delta1": None}
    assert metric.interval() is None


def test_images_may_come_in_any_parts() -> None:
    truth, predicted = torch.rand(5, 4, 4) + 0.5, torch.rand(5, 4, 4) + 0.5
    whole, parts = DepthMetric(), DepthMetric()
    whole.update(predicted, truth)
    for k in range(5):
        parts.update(predicted[k : k + 1], truth[k : k + 1])
    assert parts.compute() == pytest.approx(whole.compute())
    assert parts.interval() == pytest.approx(whole.interval())
    parts.reset()
    assert parts.compute()["absrel"] is None


@pytest.mark.parametrize("quantity", ["inverse", "depth"])
def test_a_prediction_right_up_to_scale_and_shift_is_right(quantity: str) -> None:
    truth = torch.rand(2, 6, 6) + 0.5
    truth[0, 0] = 0
    known = truth.clamp(min=0.1)
    wanted = 1 / known if quantity == "inverse" else known
    aligned = to_depth(7 * wanted - 2, truth, quantity, DepthEvaluation())  # type: ignore[arg-type]
    assert torch.allclose(aligned[truth > 0], truth[truth > 0], rtol=1e-4)
    scaled = to_depth(7 * wanted, truth, quantity, DepthEvaluation(align="scale"))  # type: ignore[arg-type]
    assert torch.allclose(scaled[truth > 0], truth[truth > 0], rtol=1e-4)
    shifted = to_depth(wanted + 1, truth, quantity, DepthEvaluation(align="scale"))  # type: ignore[arg-type]
    assert not torch.allclose(shifted[truth > 0], truth[truth > 0], rtol=0.01)
    as_is = to_depth(wanted, truth, quantity, DepthEvaluation(align="none"))  # type: ignore[arg-type]
    assert torch.allclose(as_is[truth > 0], truth[truth > 0], rtol=1e-4)


def test_what_is_no_depth_is_cut() -> None:
    truth = torch.tensor([[[1.0, 2.0, 4.0]]])
    inverse = torch.tensor([[[1.0, 0.0, -3.0]]])
    cut = to_depth(inverse, truth, "inverse", DepthEvaluation(align="none"))
    assert cut.tolist() == [[[1, 4, 4]]]
    cut = to_depth(inverse, truth, "inverse", DepthEvaluation(align="none", max_depth=3))
    assert cut.tolist() == [[[1, 3, 3]]]


def test_a_model_that_sees_nearness_scores_well(files: DepthFiles) -> None:
    scores = Depth().scores(Brightness(), files, None)
    assert scores["absrel"] < 0.1
    assert scores["delta1"] > 90
    assert (scores["images"], scores["parameters"]) == (3, 1)
    low, high = scores["absrel_interval"]
    assert low <= scores["absrel"] <= high
    assert Depth().scores(Brightness(), files, (16, 24))["absrel"] < 0.2
    assert plain(Depth().scores(Brightness(), files, None, workers=1)) == plain(scores)
    wrong = Depth(predicts="depth").scores(Brightness(), files, None)
    assert wrong["absrel"] > scores["absrel"]
    metric, task = DepthMetric(), Depth()
    with torch.no_grad():
        task.evaluate(Brightness(), [task.evaluation_set(files, None)[k] for k in range(3)], metric)
    assert metric.compute()["absrel"] == pytest.approx(scores["absrel"])


def test_depths_beyond_the_greatest_are_not_scored(files: DepthFiles) -> None:
    near = Depth(evaluation=DepthEvaluation(max_depth=3)).scores(Brightness(), files, None)
    assert near["rmse"] < Depth().scores(Brightness(), files, None)["rmse"]


def test_models_that_follow_each_other(files: DepthFiles) -> None:
    one, other = Brightness(), Brightness()
    other.factor.data = torch.tensor(-0.5)
    assert Depth().agreement(one, one, files, None)["correlation"] == pytest.approx(1)
    assert Depth().agreement(one, other, files, None)["correlation"] == pytest.approx(-1)


@pytest.mark.parametrize("model", [Brightness(3), nn.Flatten()], ids=["three channels", "no map"])
def test_another_output_is_refused(files: DepthFiles, model: nn.Module) -> None:
    with pytest.raises(UserError, match=r"depth is one channel \[B, 1, h, w\]"):
        Depth().scores(model, files, None)
    assert not Depth().fits(model, torch.rand(1, 3, 8, 8))
    assert Depth().fits(Brightness(), torch.rand(1, 3, 8, 8))
