"""Synthetic street scenes, made on the spot: small enough for a laptop, hard enough to tell a teacher from a student.

A scene is a street in metres, seen by a pinhole camera. Color alone decides little on purpose: bollards, trunks and
trousers share their greys, signs share theirs with shop fronts, cars and coats. Shape, place and texture decide.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

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

_SCALE = 2  # the canvas has this many samples a side in each pixel
_GRAIN = np.array([0.01, 0.02, 0.02, 0.03, 0.09, 0.02, 0.01, 0.01, 0.03, 0.03])  # fine noise of each class
_CLOUD = np.array([0.04, 0.03, 0.03, 0.02, 0.08, 0.01, 0.01, 0.02, 0.03, 0.02])  # noise several pixels wide

Floats = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]
Span = tuple[float, float]
Spot = tuple[float, float]  # metres to the right of the camera, metres ahead of it


def make_scene(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Bytes, Bytes]:
    """Draw one street scene.

    Args:
        rng: the only source of chance.
        size: height and width in pixels.

    Returns:
        The image ``[H, W, 3]`` and its labels ``[H, W]``: class indices, 255 where the class is not decided.
    """
    scene = _Scene(rng, size)
    _ground(scene)
    for side in (-1.0, 1.0):
        _row(scene, side)
    _things(scene)
    return _photograph(scene)


class _Scene:
    """A canvas of paint numbers: each paint has a class and a color, and later paints lie in front."""

    def __init__(self, rng: np.random.Generator, size: tuple[int, int]) -> None:
        self.rng = rng
        self.size = size
        height, width = size
        self.unit = float(height * _SCALE)
        self.eye = rng.uniform(1.6, 2.6)
        self.origin = (width / height * rng.uniform(0.3, 0.7), rng.uniform(0.36, 0.5))
        self.haze = np.full(3, rng.uniform(0.55, 0.95)) * rng.uniform(0.92, 1.0, 3)
        self.sight = rng.uniform(60.0, 200.0)
        self.kerb = rng.uniform(2.5, 4.0)
        self.wall = self.kerb + rng.uniform(2.5, 5.5)
        self.kinds: list[int] = []
        self.colors: list[Floats] = []
        self.canvas = Image.new("I", (width * _SCALE, height * _SCALE))
        self.random_sample = ImageDraw.Draw(self.canvas)

    def paint(self, name: str, color: Floats, z: float) -> int:
        """Mix a paint for things ``z`` metres away; far ones fade into the haze."""
        clear = float(np.exp(-z / self.sight))
        self.kinds.append(NAMES.index(name))
        self.colors.append(color * clear + self.haze * (1.0 - clear))
        return len(self.kinds) - 1

    def project(self, x: float, y: float, z: float) -> tuple[float, float]:
        """Canvas position of a point ``x`` to the right, ``y`` above the ground, ``z`` ahead."""
        return self.unit * (self.origin[0] + x / z), self.unit * (self.origin[1] + (self.eye - y) / z)

    def surface(self, paint: int, corners: Sequence[tuple[float, float, float]]) -> None:
        """Fill a polygon in space."""
        self.random_sample.polygon([self.project(*corner) for corner in corners], fill=paint)

    def floor(self, paint: int, x: Span, z: Span) -> None:
        """Fill a rectangle on the ground."""
        self.surface(paint, [(x[0], 0.0, z[0]), (x[1], 0.0, z[0]), (x[1], 0.0, z[1]), (x[0], 0.0, z[1])])

    def front(self, paint: int, x: float, y: Span, z: Span) -> None:
        """Fill an upright rectangle along the street, ``x`` to its right."""
        self.surface(paint, [(x, y[0], z[0]), (x, y[0], z[1]), (x, y[1], z[1]), (x, y[1], z[0])])

    def flat(self, paint: int, spot: Spot, outline: Sequence[tuple[float, float]]) -> None:
        """Fill a polygon that stands at ``spot`` and faces the camera; metres from its foot."""
        self.surface(paint, [(spot[0] + x, y, spot[1]) for x, y in outline])

    def box(self, paint: int, spot: Spot, edges: tuple[float, float, float, float]) -> None:
        """Fill a box ``(left, bottom, right, top)``."""
        left, bottom, right, top = edges
        self.flat(paint, spot, [(left, bottom), (right, bottom), (right, top), (left, top)])

    def oval(self, paint: int, spot: Spot, place: tuple[float, float, float, float]) -> None:
        """Fill an oval ``(center x, center y, half width, half height)``."""
        x, y, across, up = place
        left, top = self.project(spot[0] + x - across, y + up, spot[1])
        right, bottom = self.project(spot[0] + x + across, y - up, spot[1])
        self.random_sample.ellipse((left, top, right, bottom), fill=paint)

    def line(self, paint: int, spot: Spot, ends: tuple[float, float, float, float]) -> None:
        """Draw a tube of a bicycle, never so thin that it vanishes."""
        start, end = (self.project(spot[0] + ends[k], ends[k + 1], spot[1]) for k in (0, 2))
        self.random_sample.line((*start, *end), fill=paint, width=max(2, round(0.07 * self.unit / spot[1])))


def _grey(rng: np.random.Generator, low: float = 0.12, high: float = 0.8) -> Floats:
    return np.asarray(rng.uniform(low, high) + rng.normal(0.0, 0.03, 3))


def _vivid(rng: np.random.Generator) -> Floats:
    """Any color: what signs, cars, coats and shop fronts are painted with."""
    hue = rng.uniform(0.0, 3.0) - np.arange(3)
    wheel = np.clip(2.0 - 2.0 * np.minimum(np.abs(hue), 3.0 - np.abs(hue)), 0.0, 1.0)
    return np.asarray(rng.uniform(0.35, 0.95) * (1.0 - rng.uniform(0.3, 0.95) * (1.0 - wheel)))


def _any(rng: np.random.Generator) -> Floats:
    return _vivid(rng) if rng.random() < 0.6 else _grey(rng)


def _green(rng: np.random.Generator) -> Floats:
    return np.array([rng.uniform(0.15, 0.4), rng.uniform(0.3, 0.5), rng.uniform(0.1, 0.25)])


def _ground(scene: _Scene) -> None:
    """Sky, pavement on both sides, the road with its markings, and slab joints."""
    rng, kerb, depth = scene.rng, scene.kerb, (0.5, 400.0)
    grey = rng.uniform(0.3, 0.6)
    sky = _grey(rng, 0.65, 0.95) + np.array([-0.12, -0.04, 0.04]) * rng.uniform(0.0, 2.0)
    scene.paint("sky", sky, 0.0)  # the first paint: a blank canvas is sky
    scene.floor(scene.paint("pavement", grey + rng.normal(0.03, 0.04, 3), 8.0), (-80.0, 80.0), depth)
    joint = scene.paint("pavement", grey + rng.normal(-0.07, 0.03, 3), 8.0)
    for z in np.arange(3.0, 16.0, rng.uniform(0.7, 1.4)):
        scene.floor(joint, (-30.0, 30.0), (z, z * 1.02))
    scene.floor(scene.paint("road", grey + rng.normal(-0.03, 0.03, 3), 8.0), (-kerb, kerb), depth)
    white = scene.paint("road", _grey(rng, 0.55, 0.85), 8.0)
    for z in np.arange(rng.uniform(3.0, 6.0), 40.0, 5.0):
        scene.floor(white, (-0.1, 0.1), (z, z + 2.5))
    if rng.random() < 0.4:
        z = rng.uniform(5.0, 12.0)
        for x in np.arange(-kerb + 0.3, kerb - 0.4, 1.0):
            scene.floor(white, (x, x + 0.5), (z, z + 2.5))


def _row(scene: _Scene, side: float) -> None:
    """One side of the street from its far end: houses, hedges and gaps."""
    rng, x, z = scene.rng, side * scene.wall, 90.0
    while z > 2.0:
        length = min(rng.uniform(4.0, 18.0), z - 1.0)
        choice = rng.random()
        if choice < 0.72:
            _house(scene, x, (z - length, z))
        elif choice < 0.9:
            hedge = scene.paint("vegetation", _green(rng), z - length / 2)
            scene.front(hedge, x, (0.0, rng.uniform(1.0, 3.5)), (z - length, z))
        z -= length


def _house(scene: _Scene, x: float, reach: Span) -> None:
    """A front along the street with windows and perhaps a shop, and the gable that faces the camera."""
    rng, (near, far) = scene.rng, reach
    middle = (near + far) / 2
    color = _any(rng) * 0.4 + _grey(rng, 0.2, 0.7) * 0.6
    tall = rng.uniform(4.0, 14.0)
    gable = scene.paint("building", color * rng.uniform(0.7, 1.0), near)
    scene.box(gable, (x, near), (0.0, 0.0, float(np.sign(x)) * 30.0, tall))
    scene.front(scene.paint("building", color, middle), x, (0.0, tall), reach)
    glass = [scene.paint("building", _any(rng) * rng.uniform(0.3, 1.0), middle) for _ in range(2)]
    step = rng.uniform(1.8, 3.2)
    for y in np.arange(rng.uniform(0.6, 3.2), tall - 1.4, 2.8):
        for z in np.arange(near + 0.5, far - 1.0, step):
            scene.front(glass[int(rng.integers(2))], x, (y, y + 1.3), (z, z + 1.0))
    if rng.random() < 0.6:  # a shop front: the colors of a sign, the place of a wall
        board = scene.paint("building", _vivid(rng), middle)
        low, start = rng.uniform(1.8, 2.6), near + rng.uniform(0.0, (far - near) / 2)
        scene.front(board, x, (low, low + 0.9), (start, start + (far - near) / 3))


def _things(scene: _Scene) -> None:
    """Everything that stands on the ground, the farthest first."""
    rng, kerb, wall = scene.rng, scene.kerb, scene.wall
    plan = (
        (_tree, (1, 5), kerb + 0.5, wall + 2.0),
        (_post, (5, 11), kerb + 0.1, wall - 0.3),
        (_car, (1, 4), 0.8, kerb - 0.6),
        (_person, (3, 8), 0.5, wall),
        (_bicycle, (3, 6), 1.0, wall - 0.2),
    )
    standing = []
    for make, (fewest, most), inner, outer in plan:
        for _ in range(int(rng.integers(fewest, most))):
            z = float(np.exp(rng.uniform(np.log(3.0), np.log(9.0))))
            standing.append((z, rng.choice([-1.0, 1.0]) * rng.uniform(inner, outer), make))
    for z, x, make in sorted(standing, key=lambda one: -one[0]):
        make(scene, (float(x), z))


def _shade(scene: _Scene, spot: Spot, half: float) -> None:
    """The dark patch under a thing, of the ground's own class."""
    ground = "road" if abs(spot[0]) < scene.kerb else "pavement"
    scene.oval(scene.paint(ground, np.full(3, scene.rng.uniform(0.1, 0.3)), spot[1]), spot, (0.0, 0.0, half, 0.08))


def _tree(scene: _Scene, spot: Spot) -> None:
    rng, z = scene.rng, spot[1]
    tall, wide = rng.uniform(1.8, 3.2), rng.uniform(0.8, 1.7)
    scene.box(scene.paint("vegetation", _grey(rng, 0.12, 0.35), z), spot, (-0.14, 0.0, 0.14, tall))
    green = _green(rng)
    for _ in range(9):
        leaf = scene.paint("vegetation", green * rng.uniform(0.7, 1.3), z)
        x, y = rng.normal(0.0, wide / 2), tall + wide / 2 + rng.normal(0.0, wide / 3)
        scene.oval(leaf, spot, (x, y, wide * rng.uniform(0.3, 0.6), wide * rng.uniform(0.3, 0.6)))


def _post(scene: _Scene, spot: Spot) -> None:
    """A bollard, a lamp, a traffic sign, or a bare pole."""
    rng, z = scene.rng, spot[1]
    metal = scene.paint("pole", _grey(rng, 0.1, 0.4) if rng.random() < 0.85 else _vivid(rng), z)
    choice = rng.random()
    tall = rng.uniform(0.8, 1.4) if choice < 0.3 else rng.uniform(2.4, 6.0)
    half = rng.uniform(0.11, 0.19) * (1.5 if choice < 0.3 else 1.0)
    scene.box(metal, spot, (-half, 0.0, half, tall))
    if choice > 0.8:
        reach = -np.sign(spot[0]) * rng.uniform(0.6, 1.5)
        scene.box(metal, spot, (min(0.0, reach), tall - 0.15, max(0.0, reach), tall))
    elif choice > 0.3:
        _plate(scene, spot, min(tall, rng.uniform(2.2, 3.2)))


def _plate(scene: _Scene, spot: Spot, y: float) -> None:
    """A sign of any shape: a rim in one color and a face in another."""
    rng, size = scene.rng, scene.rng.uniform(0.45, 0.75)
    shape = int(rng.integers(3))
    for color, half in ((_vivid(rng), size), (_grey(rng, 0.75, 0.95), size * 0.6)):
        face = scene.paint("sign", color, spot[1])
        if shape == 0:
            scene.oval(face, spot, (0.0, y, half, half))
        elif shape == 1:
            scene.box(face, spot, (-half, y - half, half, y + half))
        else:
            scene.flat(face, spot, [(-half, y - half), (half, y - half), (0.0, y + half)])


def _person(scene: _Scene, spot: Spot) -> None:
    rng, z = scene.rng, spot[1]
    tall, wide, gait = rng.uniform(1.4, 1.95), rng.uniform(0.2, 0.3), rng.uniform(0.05, 0.3)
    _shade(scene, spot, wide * 1.3)
    trousers = scene.paint("pedestrian", _any(rng) * 0.5, z)
    hip, neck = tall * 0.48, tall * 0.84
    for foot in (-gait, gait):
        scene.flat(trousers, spot, [(foot - 0.09, 0.0), (foot + 0.09, 0.0), (wide * 0.6, hip), (-wide * 0.6, hip)])
    coat = scene.paint("pedestrian", _any(rng), z)
    scene.flat(coat, spot, [(-wide * 0.8, hip * 0.9), (wide * 0.8, hip * 0.9), (wide, neck), (-wide, neck)])
    skin = scene.paint("pedestrian", np.array([0.75, 0.55, 0.42]) * rng.uniform(0.35, 1.2), z)
    scene.oval(skin, spot, (rng.uniform(-0.05, 0.05), tall * 0.92, 0.12, tall * 0.08))


def _bicycle(scene: _Scene, spot: Spot) -> None:
    """Two wheels through which one looks at the ground's grey, and tubes; sometimes with a rider."""
    rng, z = scene.rng, spot[1]
    if rng.random() < 0.35:
        _person(scene, spot)
    half, tyre = rng.uniform(0.4, 0.58), scene.paint("bicycle", _grey(rng, 0.05, 0.3), z)
    spokes = scene.paint("bicycle", _grey(rng, 0.3, 0.55), z)
    tube = scene.paint("bicycle", _any(rng), z)
    for x in (-half, half):
        scene.oval(tyre, spot, (x, 0.34, 0.34, 0.34))
        scene.oval(spokes, spot, (x, 0.34, 0.25, 0.25))
    saddle, head = -0.1, half * 0.7
    frame = (
        (-half, 0.34, saddle, 0.85),
        (saddle, 0.85, head, 0.85),
        (head, 1.0, half, 0.34),
        (-half, 0.34, head, 0.85),
    )
    for ends in frame:
        scene.line(tube, spot, ends)


def _car(scene: _Scene, spot: Spot) -> None:
    """From behind or from the side; a car, or a van as square as a house."""
    rng, z = scene.rng, spot[1]
    half = rng.uniform(0.8, 0.95) if rng.random() < 0.65 else rng.uniform(1.7, 2.3)
    tall, waist = (rng.uniform(1.9, 2.4), 1.1) if rng.random() < 0.25 else (rng.uniform(1.35, 1.6), 0.85)
    _shade(scene, spot, half * 1.05)
    tyre = scene.paint("car", _grey(rng, 0.05, 0.15), z)
    for x in (-half * 0.7, half * 0.7):
        scene.oval(tyre, spot, (x, 0.3, 0.12 if half < 1.0 else 0.32, 0.3))
    body = scene.paint("car", _any(rng), z)
    scene.box(body, spot, (-half, 0.25, half, waist))
    roof = half * (0.75 if waist < 1.0 else 0.97)
    scene.flat(body, spot, [(-half * 0.97, waist), (half * 0.97, waist), (roof, tall), (-roof, tall)])
    window = scene.paint("car", _grey(rng, 0.1, 0.5), z)
    low, high = half * 0.8, roof * 0.85
    scene.flat(window, spot, [(-low, waist), (low, waist), (high, tall - 0.12), (-high, tall - 0.12)])
    lamp = scene.paint("car", _vivid(rng), z)
    for x in (-half * 0.85, half * 0.85):
        scene.box(lamp, spot, (x - 0.12, waist - 0.3, x + 0.12, waist - 0.1))


def _photograph(scene: _Scene) -> tuple[Bytes, Bytes]:
    """Average the samples of each pixel, then add texture, light, and the sensor's noise."""
    rng, (height, width) = scene.rng, scene.size
    blocks = np.asarray(scene.canvas).reshape(height, _SCALE, width, _SCALE)
    samples = blocks.transpose(0, 2, 1, 3).reshape(height, width, _SCALE**2)
    kinds = np.array(scene.kinds, dtype=np.uint8)
    labels = kinds[np.sort(samples)[..., 2]]  # the thing in front wins a tie, or thin poles would be broken lines
    seen = np.sort(kinds[samples])
    labels[(np.diff(seen) != 0).sum(-1) >= 2] = IGNORE  # three classes in one pixel
    image = np.stack(scene.colors)[samples].mean(2)
    texture = _GRAIN[labels % IGNORE] * rng.standard_normal(scene.size)
    texture += _CLOUD[labels % IGNORE] * _clouds(rng, scene.size, 3)
    light = rng.uniform(0.65, 1.15) * np.exp(rng.uniform(0.03, 0.15) * _clouds(rng, scene.size, max(height // 3, 3)))
    image = (image + texture[..., None]) * light[..., None] * rng.uniform(0.94, 1.06, 3)
    image += rng.uniform(0.005, 0.03) * rng.standard_normal(image.shape)
    return (np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8), labels


def _clouds(rng: np.random.Generator, size: tuple[int, int], period: int) -> Floats:
    """Smooth noise ``[H, W]`` of unit variance before smoothing, with one knot every ``period`` pixels."""
    height, width = size
    knots = rng.standard_normal((height // period + 2, width // period + 2)).astype(np.float32)
    return np.asarray(Image.fromarray(knots).resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64)
