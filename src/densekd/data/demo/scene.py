"""Synthetic street scenes: small enough for a laptop, hard enough to tell a teacher from a student.

A scene is a street in meters, seen by a pinhole camera. Color alone decides little on purpose:
bollards, trunks and trousers share their grays, signs share theirs with shop fronts, cars and
coats. Shape, place and texture decide.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from densekd.data.demo.canvas import SAMPLES, Canvas, Span
from densekd.data.demo.classes import COARSE_NOISE, FINE_NOISE, IGNORE
from densekd.data.demo.colors import Floats, gray, green, mixed, vivid
from densekd.data.demo.objects import draw_bicycle, draw_car, draw_pedestrian, draw_post, draw_tree

Bytes = npt.NDArray[np.uint8]
Paints = npt.NDArray[np.int32]  # paint numbers of a canvas

_GROUND = (0.5, 400.0)  # nearest and farthest point of the ground, in meters ahead


@dataclass(frozen=True)
class Scene:
    """One street scene: the picture and what is true of each pixel.

    Attributes:
        image: ``[H, W, 3]`` uint8, RGB.
        label: ``[H, W]`` uint8, class indices, 255 where three or more classes meet in one pixel.
        depth: ``[H, W]`` float32, meters along the camera's axis, 0.5 to 400, infinite in the sky.
            It belongs to the surface that the label names; objects are flat cut-outs that face the
            camera.
    """

    image: Bytes
    label: Bytes
    depth: npt.NDArray[np.float32]


def draw_scene(rng: np.random.Generator, size: tuple[int, int]) -> Scene:
    """Draw one street scene.

    Args:
        rng: the only source of chance.
        size: height and width in pixels.
    """
    canvas = Canvas(rng, size)
    # From back to front: later paint covers earlier paint.
    _draw_ground(canvas)
    _draw_row(canvas, side=-1.0)
    _draw_row(canvas, side=1.0)
    _draw_objects(canvas)
    samples = _pixel_samples(canvas)
    # The object in front wins a tie of two samples, or thin poles would be broken lines.
    front = np.sort(samples)[..., 2]
    label = _labels(canvas, samples, front)
    image = _photograph(canvas, samples, label)
    return Scene(image=image, label=label, depth=_depth(canvas, front))


def _draw_ground(canvas: Canvas) -> None:
    """Sky, pavement on both sides, slab joints, the road with its markings."""
    rng, kerb = canvas.rng, canvas.kerb
    tone = rng.uniform(0.3, 0.6)
    # The first paint is the sky: a blank canvas holds zeros.
    sky = gray(rng, 0.65, 0.95) + np.array([-0.12, -0.04, 0.04]) * rng.uniform(0.0, 2.0)
    canvas.paint("sky", sky, 0.0)
    pavement = canvas.paint("pavement", tone + rng.normal(0.03, 0.04, 3), 8.0)
    canvas.floor(pavement, (-80.0, 80.0), _GROUND)
    joint = canvas.paint("pavement", tone + rng.normal(-0.07, 0.03, 3), 8.0)
    for z in np.arange(3.0, 16.0, rng.uniform(0.7, 1.4)):
        canvas.floor(joint, (-30.0, 30.0), (z, z * 1.02))
    road = canvas.paint("road", tone + rng.normal(-0.03, 0.03, 3), 8.0)
    canvas.floor(road, (-kerb, kerb), _GROUND)
    # Dashes in the middle, and sometimes a crossing.
    white = canvas.paint("road", gray(rng, 0.55, 0.85), 8.0)
    for z in np.arange(rng.uniform(3.0, 6.0), 40.0, 5.0):
        canvas.floor(white, (-0.1, 0.1), (z, z + 2.5))
    if rng.random() < 0.4:
        z = rng.uniform(5.0, 12.0)
        for x in np.arange(-kerb + 0.3, kerb - 0.4, 1.0):
            canvas.floor(white, (x, x + 0.5), (z, z + 2.5))


def _draw_row(canvas: Canvas, side: float) -> None:
    """One side of the street from its far end: houses, hedges and gaps."""
    rng = canvas.rng
    x = side * canvas.wall
    z = 90.0
    while z > 2.0:
        length = min(rng.uniform(4.0, 18.0), z - 1.0)
        choice = rng.random()
        if choice < 0.72:
            _draw_house(canvas, x, (z - length, z))
        elif choice < 0.9:
            hedge = canvas.paint("vegetation", green(rng), z - length / 2)
            canvas.wall_panel(hedge, x, (0.0, rng.uniform(1.0, 3.5)), (z - length, z))
        z -= length


def _draw_house(canvas: Canvas, x: float, reach: Span) -> None:
    """A front along the street with windows and perhaps a shop, and a gable facing the camera."""
    rng = canvas.rng
    near, far = reach
    middle = (near + far) / 2
    color = mixed(rng) * 0.4 + gray(rng, 0.2, 0.7) * 0.6
    tall = rng.uniform(4.0, 14.0)
    gable = canvas.paint("building", color * rng.uniform(0.7, 1.0), near)
    canvas.box(gable, (x, near), (0.0, 0.0, float(np.sign(x)) * 30.0, tall))
    canvas.wall_panel(canvas.paint("building", color, middle), x, (0.0, tall), reach)
    # Windows in rows, each of one of two colors.
    glass = [canvas.paint("building", mixed(rng) * rng.uniform(0.3, 1.0), middle) for _ in range(2)]
    step = rng.uniform(1.8, 3.2)
    for y in np.arange(rng.uniform(0.6, 3.2), tall - 1.4, 2.8):
        for z in np.arange(near + 0.5, far - 1.0, step):
            canvas.wall_panel(glass[int(rng.integers(2))], x, (y, y + 1.3), (z, z + 1.0))
    # A shop front has the colors of a sign and the place of a wall.
    if rng.random() < 0.6:
        board = canvas.paint("building", vivid(rng), middle)
        low = rng.uniform(1.8, 2.6)
        start = near + rng.uniform(0.0, (far - near) / 2)
        canvas.wall_panel(board, x, (low, low + 0.9), (start, start + (far - near) / 3))


def _draw_objects(canvas: Canvas) -> None:
    """Everything that stands on the ground, the farthest first."""
    rng, kerb, wall = canvas.rng, canvas.kerb, canvas.wall
    # What to draw, how many (fewest, one more than most), and how far from the middle of the road.
    plan = (
        (draw_tree, (1, 5), kerb + 0.5, wall + 2.0),
        (draw_post, (5, 11), kerb + 0.1, wall - 0.3),
        (draw_car, (1, 4), 0.8, kerb - 0.6),
        (draw_pedestrian, (3, 8), 0.5, wall),
        (draw_bicycle, (3, 6), 1.0, wall - 0.2),
    )
    placed = []
    for draw, (fewest, limit), inner, outer in plan:
        for _ in range(int(rng.integers(fewest, limit))):
            z = float(np.exp(rng.uniform(np.log(3.0), np.log(9.0))))
            x = float(rng.choice([-1.0, 1.0]) * rng.uniform(inner, outer))
            placed.append((z, x, draw))
    for z, x, draw in sorted(placed, key=lambda one: -one[0]):
        draw(canvas, (x, z))


def _pixel_samples(canvas: Canvas) -> Paints:
    """Paint numbers of the samples in each pixel, ``[H, W, samples]``."""
    height, width = canvas.size
    blocks = np.asarray(canvas.picture).reshape(height, SAMPLES, width, SAMPLES)
    return blocks.transpose(0, 2, 1, 3).reshape(height, width, SAMPLES**2)


def _labels(canvas: Canvas, samples: Paints, front: Paints) -> Bytes:
    """Class of the paint in front; pixels in which three classes meet are not decided."""
    classes = np.array(canvas.classes, dtype=np.uint8)
    labels = classes[front]
    met = np.sort(classes[samples])
    labels[(np.diff(met) != 0).sum(-1) >= 2] = IGNORE
    return labels


def _depth(canvas: Canvas, front: Paints) -> npt.NDArray[np.float32]:
    """Metres to the surface in front at each pixel center, from the planes of the paints."""
    height, width = canvas.size
    slope_u, slope_v, offset = np.moveaxis(np.array(canvas.planes)[front], -1, 0)
    u = (np.arange(width) + 0.5) / height
    v = (np.arange(height)[:, None] + 0.5) / height
    inverse = slope_u * u + slope_v * v + offset
    # At an outline the center of a pixel can lie beside the surface, where the plane goes on to the
    # horizon.
    depth = 1.0 / np.clip(inverse, 1.0 / _GROUND[1], 1.0 / _GROUND[0])
    return np.where(front == 0, np.inf, depth).astype(np.float32)


def _photograph(canvas: Canvas, samples: Paints, labels: Bytes) -> Bytes:
    """Average the samples of each pixel, then add texture, light, and the sensor's noise."""
    rng, size = canvas.rng, canvas.size
    image = np.stack(canvas.colors)[samples].mean(2)
    texture = FINE_NOISE[labels % IGNORE] * rng.standard_normal(size)
    texture += COARSE_NOISE[labels % IGNORE] * _clouds(rng, size, 3)
    exposure = rng.uniform(0.65, 1.15)
    contrast = rng.uniform(0.03, 0.15)
    light = exposure * np.exp(contrast * _clouds(rng, size, max(size[0] // 3, 3)))
    white_balance = rng.uniform(0.94, 1.06, 3)
    image = (image + texture[..., None]) * light[..., None] * white_balance
    image += rng.uniform(0.005, 0.03) * rng.standard_normal(image.shape)
    return np.asarray(np.clip(image, 0.0, 1.0) * 255.0, dtype=np.uint8)


def _clouds(rng: np.random.Generator, size: tuple[int, int], period: int) -> Floats:
    """Smooth noise ``[H, W]``: unit variance at knots ``period`` pixels apart."""
    height, width = size
    knots = rng.standard_normal((height // period + 2, width // period + 2)).astype(np.float32)
    smooth = Image.fromarray(knots).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(smooth, dtype=np.float64)
