"""Class weights of the cross-entropy, balanced by how often each class occurs."""

import numpy as np
import torch
from torch import Tensor

from densekd.data.files import SegmentationFiles


def class_frequency(files: SegmentationFiles) -> Tensor:
    """Return the share of each class among the labelled pixels of all files, ``[C]`` float64."""
    C = len(files.classes.names)
    counts = np.zeros(C, dtype=np.int64)
    for index in range(len(files)):
        # Void is a value beyond the classes, and is cut off.
        counts += np.bincount(files.label(index).ravel(), minlength=256)[:C]
    return torch.from_numpy(counts / max(1, counts.sum()))


def balanced_weights(frequency: Tensor) -> Tensor:
    """Class weights ``1 / log(1.02 + frequency)``, scaled to mean 1, ``[C]``.

    The formula is ENet's (arXiv 1606.02147, section 5.2).
    """
    weights = 1 / torch.log(1.02 + frequency)
    return (weights / weights.mean()).float()
