"""Synthetic street scenes as plain tensors: the data of the examples, made in seconds and without a download."""

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

from densekd.data.demo.classes import NAMES
from densekd.data.demo.scene import draw_scene

SIZE = (96, 128)
CLASSES = len(NAMES)


def labelled_scenes(count: int, seed: int) -> TensorDataset:
    """Return images uint8 ``[N, 3, H, W]`` and class labels uint8 ``[N, H, W]``, 255 for void."""
    rng = np.random.default_rng(seed)
    scenes = [draw_scene(rng, SIZE) for _ in range(count)]
    images = torch.stack([torch.from_numpy(scene.image).permute(2, 0, 1) for scene in scenes])
    labels = torch.stack([torch.from_numpy(scene.label) for scene in scenes])
    return TensorDataset(images, labels)


def loaders(train: int = 48, val: int = 12) -> tuple[DataLoader, DataLoader]:
    """Return batches ``(images, labels)`` of a training and a validation set."""
    training = DataLoader(labelled_scenes(train, seed=0), batch_size=8, shuffle=True)
    return training, DataLoader(labelled_scenes(val, seed=1), batch_size=4)
