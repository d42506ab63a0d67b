"""Random colors ``[3]`` in [0, 1] for the synthetic street scenes."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def gray(rng: np.random.Generator, low: float = 0.12, high: float = 0.8) -> Floats:
    """Sample a gray between ``low`` and ``high`` with a slight tint."""
    return np.asarray(rng.uniform(low, high) + rng.normal(0.0, 0.03, 3))


def vivid(rng: np.random.Generator) -> Floats:
    """Sample a color of any hue: paint of signs, cars, coats and shop fronts."""
    hue = rng.uniform(0.0, 3.0) - np.arange(3)
    wheel = np.clip(2.0 - 2.0 * np.minimum(np.abs(hue), 3.0 - np.abs(hue)), 0.0, 1.0)
    brightness = rng.uniform(0.35, 0.95)
    saturation = rng.uniform(0.3, 0.95)
    return np.asarray(brightness * (1.0 - saturation * (1.0 - wheel)))


def mixed(rng: np.random.Generator) -> Floats:
    """Sample a vivid color in six cases of ten, else a gray."""
    if rng.random() < 0.6:
        return vivid(rng)
    return gray(rng)


def green(rng: np.random.Generator) -> Floats:
    """Sample the green of leaves."""
    return np.array([rng.uniform(0.15, 0.4), rng.uniform(0.3, 0.5), rng.uniform(0.1, 0.25)])
