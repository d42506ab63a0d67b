import pytest
import torch

from densekd.ops.shapes import require_one_kind, require_one_shape


def test_one_shape() -> None:
    require_one_shape(torch.zeros(2, 3), torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"one shape, got \[2, 3\] and \[1, 3\]"):
        require_one_shape(torch.zeros(2, 3), torch.zeros(1, 3))


@pytest.mark.parametrize("teacher", [(2, 4, 3, 3), (1, 3, 3, 3), (2, 3, 9)], ids=str)
def test_one_kind(teacher: tuple[int, ...]) -> None:
    student = torch.zeros(2, 3, 5, 5)
    require_one_kind(student, torch.zeros(2, 3, 4, 7))
    with pytest.raises(ValueError, match=r"one shape but for height and width, got \[2, 3, 5, 5\]"):
        require_one_kind(student, torch.zeros(teacher))
