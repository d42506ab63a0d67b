"""A loss of your own: any module of (student, teacher, target) that returns a scalar.

python examples/own_loss.py --steps 100

In a recipe the same class is named by where it lies: ``method: own_loss:CosineSimilarity``.
"""

import argparse

import torch
import torch.nn.functional as F
from scenes import CLASSES, loaders
from torch import Tensor, nn

import densekd
from densekd.models import MODELS


class CosineSimilarity(nn.Module):
    """One minus the cosine between the feature vectors of both models, averaged over positions.

    Args:
        exponent: larger ones mind large angles more.

    Shape:
        student, teacher: ``[B, C, H, W]`` -> scalar in [0, 2 ** exponent].
    """

    def __init__(self, exponent: float = 1.0) -> None:
        super().__init__()
        self.exponent = exponent

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None) -> Tensor:
        """Return the loss; the teacher arrives without gradient, and labels are not needed."""
        distance = 1 - F.cosine_similarity(student, teacher, dim=1)
        return distance.pow(self.exponent).mean()


def main(steps: int) -> list[dict[str, float]]:
    """Return the history of the losses."""
    torch.manual_seed(0)
    train, _ = loaders()
    teacher = MODELS["fpn"](CLASSES, backbone="resnet18_050", channels=64)
    student = MODELS["fpn"](CLASSES, backbone="resnet18_025", channels=32)

    # The last features of both: 128 channels against 256, so that a 1x1 convolution is learned between them.
    term = densekd.Term(CosineSimilarity(2.0), "features.3", adapter=nn.Conv2d(128, 256, 1), weight=2.0)
    result = densekd.distill(student, teacher, train, {"cosine": term, "cwd": 3.0}, steps=steps)
    for row in result.history:
        print("  ".join(f"{name} {value:.4g}" for name, value in row.items()))
    return result.history


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=100)
    main(parser.parse_args().steps)
