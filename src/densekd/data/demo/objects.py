"""Objects of the synthetic street scenes: trees, posts with signs, pedestrians, bicycles and cars.

Each function draws one object of random shape and color at a spot ``(x, z)`` in meters. Pieces
further back come first.
"""

import numpy as np

from densekd.data.demo.canvas import Canvas, Spot
from densekd.data.demo.colors import gray, green, mixed, vivid


def draw_tree(canvas: Canvas, spot: Spot) -> None:
    """Draw a trunk and nine ovals of leaves."""
    rng, z = canvas.rng, spot[1]
    tall = rng.uniform(1.8, 3.2)
    wide = rng.uniform(0.8, 1.7)
    trunk = canvas.paint("vegetation", gray(rng, 0.12, 0.35), z)
    canvas.box(trunk, spot, (-0.14, 0.0, 0.14, tall))
    # One green for the tree, lighter and darker from leaf to leaf.
    shade_of_green = green(rng)
    for _ in range(9):
        leaf = canvas.paint("vegetation", shade_of_green * rng.uniform(0.7, 1.3), z)
        x = rng.normal(0.0, wide / 2)
        y = tall + wide / 2 + rng.normal(0.0, wide / 3)
        half_width = wide * rng.uniform(0.3, 0.6)
        half_height = wide * rng.uniform(0.3, 0.6)
        canvas.oval(leaf, spot, (x, y, half_width, half_height))


def draw_post(canvas: Canvas, spot: Spot) -> None:
    """Draw a bollard, a lamp, a traffic sign, or a bare pole."""
    rng, z = canvas.rng, spot[1]
    # Most posts are gray, which pavements, trousers and trunks are too.
    plain = rng.random() < 0.85
    metal = canvas.paint("pole", gray(rng, 0.1, 0.4) if plain else vivid(rng), z)
    choice = rng.random()
    if choice < 0.3:  # bollard
        tall = rng.uniform(0.8, 1.4)
        half = rng.uniform(0.11, 0.19) * 1.5
    else:
        tall = rng.uniform(2.4, 6.0)
        half = rng.uniform(0.11, 0.19)
    canvas.box(metal, spot, (-half, 0.0, half, tall))
    if choice > 0.8:  # lamp: its arm reaches over the road
        arm = -np.sign(spot[0]) * rng.uniform(0.6, 1.5)
        canvas.box(metal, spot, (min(0.0, arm), tall - 0.15, max(0.0, arm), tall))
    elif choice > 0.3:
        _draw_sign(canvas, spot, min(tall, rng.uniform(2.2, 3.2)))


def _draw_sign(canvas: Canvas, spot: Spot, y: float) -> None:
    """Draw a round, square or triangular sign: a rim in one color and a face in another."""
    rng = canvas.rng
    size = rng.uniform(0.45, 0.75)
    shape = int(rng.integers(3))
    rim = vivid(rng)
    face = gray(rng, 0.75, 0.95)
    for color, half in ((rim, size), (face, size * 0.6)):
        paint = canvas.paint("sign", color, spot[1])
        if shape == 0:
            canvas.oval(paint, spot, (0.0, y, half, half))
        elif shape == 1:
            canvas.box(paint, spot, (-half, y - half, half, y + half))
        else:
            canvas.facing(paint, spot, [(-half, y - half), (half, y - half), (0.0, y + half)])


def draw_pedestrian(canvas: Canvas, spot: Spot) -> None:
    """Draw a walking person: shadow, trousers, coat and head."""
    rng, z = canvas.rng, spot[1]
    tall = rng.uniform(1.4, 1.95)
    wide = rng.uniform(0.2, 0.3)
    stride = rng.uniform(0.05, 0.3)
    hip, neck = tall * 0.48, tall * 0.84
    # From back to front, as everywhere: shadow, legs, torso, head.
    _draw_shadow(canvas, spot, wide * 1.3)
    trousers = canvas.paint("pedestrian", mixed(rng) * 0.5, z)
    for foot in (-stride, stride):
        leg = [(foot - 0.09, 0.0), (foot + 0.09, 0.0), (wide * 0.6, hip), (-wide * 0.6, hip)]
        canvas.facing(trousers, spot, leg)
    coat = canvas.paint("pedestrian", mixed(rng), z)
    torso = [(-wide * 0.8, hip * 0.9), (wide * 0.8, hip * 0.9), (wide, neck), (-wide, neck)]
    canvas.facing(coat, spot, torso)
    skin = canvas.paint("pedestrian", np.array([0.75, 0.55, 0.42]) * rng.uniform(0.35, 1.2), z)
    canvas.oval(skin, spot, (rng.uniform(-0.05, 0.05), tall * 0.92, 0.12, tall * 0.08))


def draw_bicycle(canvas: Canvas, spot: Spot) -> None:
    """Draw two wheels, whose spokes have the ground's gray, and tubes; sometimes with a rider."""
    rng, z = canvas.rng, spot[1]
    if rng.random() < 0.35:
        draw_pedestrian(canvas, spot)
    half = rng.uniform(0.4, 0.58)
    tire = canvas.paint("bicycle", gray(rng, 0.05, 0.3), z)
    spokes = canvas.paint("bicycle", gray(rng, 0.3, 0.55), z)
    tube = canvas.paint("bicycle", mixed(rng), z)
    # Spokes are a gray disk in front of the tire's: what is seen through them is no class of its
    # own.
    for x in (-half, half):
        canvas.oval(tire, spot, (x, 0.34, 0.34, 0.34))
        canvas.oval(spokes, spot, (x, 0.34, 0.25, 0.25))
    # The frame, with the front of the bicycle to the right.
    saddle = -0.1
    head = half * 0.7
    frame = (
        (-half, 0.34, saddle, 0.85),
        (saddle, 0.85, head, 0.85),
        (head, 1.0, half, 0.34),
        (-half, 0.34, head, 0.85),
    )
    for ends in frame:
        canvas.line(tube, spot, ends)


def draw_car(canvas: Canvas, spot: Spot) -> None:
    """Draw a car, or a van as square as a house, from the rear or from the side."""
    rng, z = canvas.rng, spot[1]
    from_rear = rng.random() < 0.65
    half = rng.uniform(0.8, 0.95) if from_rear else rng.uniform(1.7, 2.3)
    if rng.random() < 0.25:  # van
        tall, waist, roof = rng.uniform(1.9, 2.4), 1.1, half * 0.97
    else:
        tall, waist, roof = rng.uniform(1.35, 1.6), 0.85, half * 0.75
    _draw_shadow(canvas, spot, half * 1.05)
    # Tires reach out below the body; from the rear they are narrow.
    tire = canvas.paint("car", gray(rng, 0.05, 0.15), z)
    tire_half = 0.12 if from_rear else 0.32
    for x in (-half * 0.7, half * 0.7):
        canvas.oval(tire, spot, (x, 0.3, tire_half, 0.3))
    body = canvas.paint("car", mixed(rng), z)
    canvas.box(body, spot, (-half, 0.25, half, waist))
    cabin = [(-half * 0.97, waist), (half * 0.97, waist), (roof, tall), (-roof, tall)]
    canvas.facing(body, spot, cabin)
    window = canvas.paint("car", gray(rng, 0.1, 0.5), z)
    # The window follows the cabin's slope.
    low, high = half * 0.8, roof * 0.85
    pane = [(-low, waist), (low, waist), (high, tall - 0.12), (-high, tall - 0.12)]
    canvas.facing(window, spot, pane)
    lamp = canvas.paint("car", vivid(rng), z)
    for x in (-half * 0.85, half * 0.85):
        canvas.box(lamp, spot, (x - 0.12, waist - 0.3, x + 0.12, waist - 0.1))


def _draw_shadow(canvas: Canvas, spot: Spot, half: float) -> None:
    """Draw the dark patch under an object, of the ground's own class."""
    ground = "road" if abs(spot[0]) < canvas.kerb else "pavement"
    dark = np.full(3, canvas.rng.uniform(0.1, 0.3))
    canvas.oval(canvas.paint(ground, dark, spot[1]), spot, (0.0, 0.0, half, 0.08))
