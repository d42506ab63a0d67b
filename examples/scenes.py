"""Synthetic street scenes as plain tensors: the data of the examples, made in seconds and without a download."""

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

from densekd.data.demo.classes import NAMES
from densekd.data.demo.scene import draw_scene

SIZE = (96, 128)
CLASSES = len(NAMES)


def scenes(count: int, seed: int) -> tuple[TensorDataset, TensorDataset]:
    """Return images uint8 ``[N, 3, H, W]``, once with class labels uint8 ``[N, H, W]`` and once with depths.

    Void has the label 255; depths are meters, 0 in the sky, where there is nothing to measure.
    """
    rng = np.random.default_rng(seed)
    drawn = [draw_scene(rng, SIZE) for _ in range(count)]
    images = torch.stack([torch.from_numpy(scene.image).permute(2, 0, 1) for scene in drawn])
    labels = torch.stack([torch.from_numpy(scene.label) for scene in drawn])
    depths = torch.stack([torch.from_numpy(scene.depth) for scene in drawn])
    depths = torch.where(depths.isfinite(), depths, 0)
    return TensorDataset(images, labels), TensorDataset(images, depths)


def loaders(train: int = 48, val: int = 12) -> tuple[DataLoader, DataLoader]:
    """Return batches ``(images, labels)`` of a training and a validation set."""
    return _load(scenes(train, seed=0)[0], scenes(val, seed=1)[0])


def depth_loaders(train: int = 48, val: int = 12) -> tuple[DataLoader, DataLoader]:
    """Return batches ``(images, depths)`` of a training and a validation set."""
    return _load(scenes(train, seed=0)[1], scenes(val, seed=1)[1])


def _load(train: TensorDataset, val: TensorDataset) -> tuple[DataLoader, DataLoader]:
    return DataLoader(train, batch_size=8, shuffle=True), DataLoader(val, batch_size=4)
