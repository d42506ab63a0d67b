"""Polygons become the pixels whose centers are inside, holes included; compared with pycocotools and by hand."""

import numpy as np
import pytest
from pycocotools import mask as coco

from densekd.data.exports.rasterize import draw, paint
from densekd.data.exports.shapes import Polygon, Shape, area, bitmap, ellipse, extent, rectangle, ring, unpacked

SIZE = (24, 32)


def mask_of(*rings: object) -> np.ndarray:
    label = np.zeros(SIZE, np.uint8)
    paint(label, Polygon(tuple(ring(one) for one in rings)), 1)
    return label


def even_odd(corners: np.ndarray) -> np.ndarray:
    """Count the edges to the left of every pixel's center, one by one."""
    mask = np.zeros(SIZE, np.uint8)
    for y in range(SIZE[0]):
        for x in range(SIZE[1]):
            crossed = 0
            for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, 0), strict=True):
                if (y1 <= y + 0.5) == (y2 <= y + 0.5):
                    continue
                crossed += x1 + (y + 0.5 - y1) / (y2 - y1) * (x2 - x1) <= x + 0.5
            mask[y, x] = crossed % 2
    return mask


def test_a_rectangle_covers_exactly_its_pixels() -> None:
    label = np.zeros(SIZE, np.uint8)
    paint(label, rectangle(2, 3, 6, 5), 1)
    expected = np.zeros(SIZE, np.uint8)
    expected[3:5, 2:6] = 1
    np.testing.assert_array_equal(label, expected)
    # In any order of its corners.
    label[:] = 0
    paint(label, rectangle(6, 5, 2, 3), 1)
    np.testing.assert_array_equal(label, expected)


def test_neighbors_share_no_pixel_and_leave_none() -> None:
    left, right = mask_of([(1, 1), (10.5, 1), (10.5, 9), (1, 9)]), mask_of([(10.5, 1), (20, 1), (20, 9), (10.5, 9)])
    assert (left + right).max() == 1
    assert (left + right).sum() == 19 * 8


@pytest.mark.parametrize("seed", range(20))
def test_any_polygon_follows_the_even_odd_rule(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Also such as cross themselves and reach beyond the image.
    corners = rng.uniform((-8, -8), (40, 32), (rng.integers(3, 12), 2)).round(int(rng.integers(0, 3)))
    np.testing.assert_array_equal(mask_of(corners), even_odd(corners))


def test_holes_are_not_covered() -> None:
    mask = mask_of([(2, 2), (20, 2), (20, 20), (2, 20)], [(5, 5), (9, 5), (9, 8), (5, 8)])
    assert mask.sum() == 18 * 18 - 4 * 3
    assert not mask[5:8, 5:9].any()
    assert area(Polygon((ring([(2, 2), (20, 2), (20, 20), (2, 20)]), ring([(5, 5), (9, 5), (9, 8), (5, 8)])))) == 312


def test_what_is_outside_of_the_image_is_cut_off() -> None:
    assert mask_of([(-10, -10), (100, -10), (100, 100), (-10, 100)]).all()
    assert not mask_of([(40, 2), (50, 2), (50, 9)]).any()
    assert not mask_of([(-9, -9), (-2, -9), (-2, -2)]).any()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools
def test_few_pixels_differ_from_pycocotools() -> None:
    # It draws the outline at five times the size; where a center is near an edge, it may decide otherwise.
    rng = np.random.default_rng(0)
    height, width, different, total = 200, 200, 0, 0
    for _ in range(50):
        count = rng.integers(3, 30)
        angles, radii = np.sort(rng.uniform(0, 2 * np.pi, count)), rng.uniform(20, 90, count)
        corners = 100 + np.stack([radii * np.cos(angles), radii * np.sin(angles)], 1)
        label = np.zeros((height, width), np.uint8)
        paint(label, Polygon((corners,)), 1)
        theirs = coco.decode(coco.merge(coco.frPyObjects([corners.ravel().tolist()], height, width)))
        different += int((label != theirs).sum())
        total += int(theirs.sum())
    assert 0 < different / total < 0.01
    # Whole corners leave nothing to decide.
    square = [[3.0, 4, 11, 4, 11, 9, 3, 9]]
    theirs = coco.decode(coco.merge(coco.frPyObjects(square, *SIZE)))
    np.testing.assert_array_equal(theirs, mask_of([(3, 4), (11, 4), (11, 9), (3, 9)]))


def test_a_circle_has_its_area() -> None:
    circle = ellipse(16, 12, 8, 8)
    label = np.zeros(SIZE, np.uint8)
    paint(label, circle, 1)
    assert area(circle) == pytest.approx(np.pi * 64, rel=1e-3)
    assert label.sum() == pytest.approx(np.pi * 64, rel=0.05)
    turned = ellipse(16, 12, 8, 2, 90)
    assert extent(turned) == pytest.approx((14, 4, 18, 20), abs=1e-6)


def test_a_bitmap_is_cut_to_its_box_and_drawn_where_it_was() -> None:
    rng = np.random.default_rng(1)
    mask = np.zeros(SIZE, bool)
    mask[5:14, 7:20] = rng.random((9, 13)) < 0.5
    mask[5, 7] = mask[13, 19] = True
    packed = bitmap(mask)
    assert packed is not None
    assert (packed.size, packed.top, packed.left) == ((9, 13), 5, 7)
    np.testing.assert_array_equal(unpacked(packed), mask[5:14, 7:20])
    assert area(packed) == mask.sum()
    assert extent(packed) == (7, 5, 20, 14)
    label = np.zeros(SIZE, np.uint8)
    paint(label, packed, 1)
    np.testing.assert_array_equal(label, mask)
    # Beyond the image.
    moved = packed._replace(top=-3, left=25)
    label[:] = 0
    paint(label, moved, 1)
    np.testing.assert_array_equal(label[:6, 25:], mask[8:14, 7:14])
    assert bitmap(np.zeros(SIZE, bool)) is None


def test_later_shapes_are_on_top_and_void_is_a_shape_too() -> None:
    shapes = [
        Shape("a", rectangle(0, 0, 10, 10)),
        Shape("b", rectangle(5, 5, 15, 15)),
        Shape(None, rectangle(8, 8, 9, 9)),
    ]
    label = draw(shapes, SIZE, {"a": 0, "b": 1, None: 255}, 7)
    assert [label[2, 2], label[6, 6], label[8, 8], label[20, 20]] == [0, 1, 255, 7]
