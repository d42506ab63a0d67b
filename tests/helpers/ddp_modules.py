"""Models and losses that processes started by a test import by name."""

import json
import os
from pathlib import Path

import torch
from torch import Tensor, nn

from densekd.losses.adversarial import Adversarial
from densekd.losses.cirkd import CIRKDChannel, CIRKDMemory
from densekd.models.dilated import pspnet


class Plain(nn.Module):
    """A segmentation model without batch norm, whose statistics depend on how a batch is split."""

    def __init__(self, num_classes: int, channels: int = 8) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, channels, 3, 2, 1), nn.ReLU(), nn.Conv2d(channels, channels, 3, 2, 1)
        )
        self.classifier = nn.Conv2d(channels, num_classes, 1)
        self.taps = {"logits": "classifier"}

    def forward(self, images: Tensor) -> Tensor:
        """Return logits at stride 4."""
        logits: Tensor = self.classifier(self.features(images))
        return logits


class Pooled(nn.Module):
    """A PSPNet without dropout, whose masks depend on the process: its batch norms see one value of a single image."""

    def __init__(self, num_classes: int, channels: int = 16) -> None:
        super().__init__()
        self.net = pspnet(num_classes, backbone="resnet18_025", channels=channels, auxiliary_channels=8)
        for module in self.net.modules():
            if isinstance(module, nn.Dropout2d):
                module.p = 0.0
            # Torch's own initial weights, which are small: batch norms over two values amplify rounding.
            if isinstance(module, nn.Conv2d):
                module.reset_parameters()
        self.taps = {name: f"net.{path}" for name, path in self.net.taps.items()}

    def forward(self, images: Tensor) -> Tensor:
        """Return logits at stride 8."""
        logits: Tensor = self.net(images)
        return logits


class SumOfWeights(nn.Module):
    """A loss that writes down, on every rank, what its learnt parameter has become."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.folder = folder
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor) -> Tensor:
        """Return a scaled mean over images, so that the factor receives a gradient."""
        rank = os.environ.get("LOCAL_RANK", "0")
        if self.training and torch.is_grad_enabled():
            (Path(self.folder) / f"rank{rank}.json").write_text(json.dumps(self.factor.item()))
        return self.factor * (student.mean((1, 2, 3)) - teacher.mean((1, 2, 3))).square().mean()


class Watched(nn.Module):
    """Losses that remember, and a game; every process begins with others and writes down what they become."""

    def __init__(
        self,
        folder: str,
        student_channels: int,
        teacher_channels: int,
        teacher_size: tuple[int, int],
        num_classes: int,
        ignore_index: int,
    ) -> None:
        super().__init__()
        self.file = Path(folder) / f"rank{os.environ.get('LOCAL_RANK', '0')}.pt"
        torch.manual_seed(len(str(self.file)) + int(self.file.stem[-1]))
        self.memory = CIRKDMemory(student_channels, teacher_channels, num_classes, ignore_index, 40, 5, 20, 5)
        self.channel = CIRKDChannel(student_channels, teacher_channels, teacher_size, 30, 10, 7)
        self.game = Adversarial(student_channels, preprocess="tanh")

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor) -> Tensor:
        """Return the sum."""
        value = self.memory(student, teacher, target) + self.channel(student, teacher) + self.game(student, teacher)
        if torch.is_grad_enabled():
            torch.save(self.state_dict(), self.file)
        return value
