import numpy as np
import pytest

from densekd.data.demo.canvas import Canvas
from densekd.data.demo.classes import IGNORE, NAMES
from densekd.data.demo.scene import Scene, draw_scene

SKY, ROAD = NAMES.index("sky"), NAMES.index("road")


def scenes(count: int) -> list[Scene]:
    return [draw_scene(np.random.default_rng(seed), (96, 128)) for seed in range(count)]


@pytest.mark.parametrize("size", [(32, 32), (97, 131), (192, 256)])
def test_any_size_works(size: tuple[int, int]) -> None:
    scene = draw_scene(np.random.default_rng(0), size)
    assert scene.image.shape == (*size, 3)
    assert scene.image.dtype == scene.label.dtype == np.uint8
    assert scene.label.shape == scene.depth.shape == size
    assert scene.depth.dtype == np.float32


def test_the_sky_alone_is_infinitely_far() -> None:
    for scene in scenes(8):
        decided = scene.label != IGNORE
        assert np.array_equal(np.isinf(scene.depth)[decided], (scene.label == SKY)[decided])
        finite = scene.depth[np.isfinite(scene.depth)]
        assert finite.min() >= 0.5
        assert finite.max() <= 400.0


def test_the_road_comes_nearer_towards_the_bottom() -> None:
    checked = 0
    for scene in scenes(8):
        for label, depth in zip(scene.label.T, scene.depth.T, strict=True):
            # Shadows are road too, as flat patches: look at columns without steps of more than half.
            road = depth[label == ROAD]
            if len(road) > 10 and (np.diff(road) < 0).all():
                checked += len(road)
    assert checked > 1000


def test_a_car_is_one_distance_in_front_of_what_it_hides() -> None:
    for scene in scenes(8):
        cars = scene.depth[scene.label == NAMES.index("car")]
        assert len(np.unique(cars)) <= 3
        assert ((cars >= 3.0) & (cars <= 9.0)).all()


def test_surfaces_are_planes_of_the_pinhole_camera() -> None:
    canvas = Canvas(np.random.default_rng(0), (96, 128))
    points = {
        "floor": (1.5, 0.0, 7.0),
        "wall": (-4.0, 2.0, 11.0),
        "box": (0.2, 1.0, 5.0),
    }
    paints = {name: canvas.paint("car", np.zeros(3), 0.0) for name in points}
    canvas.floor(paints["floor"], (0.0, 2.0), (1.0, 9.0))
    canvas.wall_panel(paints["wall"], -4.0, (0.0, 3.0), (8.0, 12.0))
    canvas.box(paints["box"], (0.0, 5.0), (-1.0, 0.0, 1.0, 2.0))
    for name, point in points.items():
        column, row = canvas.project(*point)
        a, b, c = canvas.planes[paints[name]]
        inverse = a * column / canvas.unit + b * row / canvas.unit + c
        assert 1.0 / inverse == pytest.approx(point[2]), name


def test_the_same_generator_gives_the_same_scene() -> None:
    first, second = (draw_scene(np.random.default_rng(5), (48, 64)) for _ in range(2))
    for name in ("image", "label", "depth"):
        assert np.array_equal(getattr(first, name), getattr(second, name))
