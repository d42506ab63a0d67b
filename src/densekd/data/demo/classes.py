"""Classes of the synthetic street scenes: names, colors of the label picture, and texture."""

import numpy as np

PALETTE = {
    "sky": (70, 130, 180),
    "building": (70, 70, 70),
    "road": (128, 64, 128),
    "pavement": (244, 35, 232),
    "vegetation": (107, 142, 35),
    "pole": (153, 153, 153),
    "sign": (220, 220, 0),
    "car": (0, 0, 142),
    "pedestrian": (220, 20, 60),
    "bicycle": (119, 11, 32),
}
NAMES = tuple(PALETTE)
IGNORE = 255

# Standard deviation of the texture of each class, in units of image intensity [0, 1].
FINE_NOISE = np.array([0.01, 0.02, 0.02, 0.03, 0.09, 0.02, 0.01, 0.01, 0.03, 0.03])
COARSE_NOISE = np.array([0.04, 0.03, 0.03, 0.02, 0.08, 0.01, 0.01, 0.02, 0.03, 0.02])
