import numpy as np
import pytest

from densekd.data.annotations import Annotation, clipped, learnable, stacked, training_boxes

SIZE = (64, 128)


def test_no_boxes_are_arrays_too() -> None:
    boxes, labels, crowd, area = stacked([])
    assert (boxes.shape, labels.shape, crowd.shape, area.shape) == ((0, 4), (0,), (0,), (0,))
    assert (boxes.dtype, labels.dtype, crowd.dtype, area.dtype) == (np.float32, np.int64, np.bool_, np.float64)
    boxes, labels = training_boxes(stacked([]), SIZE)
    assert (boxes.shape, boxes.dtype, labels.shape) == ((0, 4), np.float32, (0,))


@pytest.mark.parametrize(
    ("box", "kept"),
    [
        ((0, 0, 128, 64), True),
        ((5, 5, 6, 6), True),  # one pixel
        ((100.3, 60.1, 101.3, 61.1), True),  # one pixel, which float32 makes less
        ((5, 5, 5.9, 20), False),
        ((5, 5, 20, 5.9), False),
        ((5, 5, 5, 20), False),
        ((20, 20, 5, 5), False),
        ((-10, -10, 1, 1), True),
        ((-10, 10, 0, 20), False),  # touches the image, has no part in it
        ((128, 10, 140, 20), False),
        ((10, 64, 20, 80), False),
        ((-50, -50, 500, 500), True),
    ],
)
def test_what_is_learnt_is_what_mmdetection_learns(box: tuple[float, float, float, float], kept: bool) -> None:
    truth = stacked([Annotation(box, 0, False, 100.0)])
    assert learnable(truth, SIZE).tolist() == [kept]
    assert len(training_boxes(truth, SIZE)[0]) == kept


def test_crowds_and_boxes_without_area_are_not_learnt() -> None:
    box = (5.0, 6.0, 25.0, 30.0)
    truth = stacked([Annotation(box, 2, True, 9.0), Annotation(box, 1, False, 0.0), Annotation(box, 4, False, 0.5)])
    assert learnable(truth, SIZE).tolist() == [False, False, True]
    assert training_boxes(truth, SIZE)[1].tolist() == [4]


def test_boxes_are_clipped_to_the_image() -> None:
    boxes = np.array([[-3, -4, 10, 20], [100, 50, 130, 70], [1, 2, 3, 4]], np.float32)
    assert clipped(boxes, SIZE).tolist() == [[0, 0, 10, 20], [100, 50, 128, 64], [1, 2, 3, 4]]
    truth = stacked([Annotation((-3, -4, 10, 20), 0, False, 5)])
    assert training_boxes(truth, SIZE)[0].tolist() == [[0, 0, 10, 20]]
    assert truth.boxes.tolist() == [[-3, -4, 10, 20]]
