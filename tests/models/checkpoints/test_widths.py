"""Two releases publish other networks under one file name: a file of the wrong width is refused by its name."""

import pytest

from densekd.errors import UserError
from densekd.models.checkpoints.layout import Recognized
from densekd.models.checkpoints.widths import require_width

FILE = "deeplabv3_resnet101_citys_best_model.pth"


def found(channels: object, model: str = "deeplabv3") -> Recognized:
    return Recognized("cirkd", model, {"backbone": "resnet101", "channels": channels}, {}, ())


@pytest.mark.parametrize(("has", "asked"), [(256, 512), (512, 256)])
def test_both_widths_and_both_releases_are_named(has: int, asked: int) -> None:
    with pytest.raises(UserError) as caught:
        require_width(found(has), {"channels": asked}, FILE)
    message = str(caught.value)
    assert f"{FILE}: the deeplabv3 head in it is {has} channels wide, and the options ask for {asked}." in message
    assert "CIRKD v1's and HWD's is 256 wide, CIRKD v2's is 512 wide" in message
    assert f"write 'options: {{channels: {has}}}'" in message


def test_the_right_width_and_no_width_are_accepted() -> None:
    require_width(found(512), {"channels": 512}, FILE)
    require_width(found(512), {}, FILE)
    require_width(found((512, 512), "pspnet"), {"channels": 512}, FILE)
    require_width(found((512, 128), "pspnet"), {"channels": [512, 128]}, FILE)
    require_width(Recognized("segformer", "segformer", {}, {}, ()), {"channels": 512}, FILE)


def test_a_head_of_two_widths_without_known_releases() -> None:
    with pytest.raises(UserError, match=r"is \[512, 128\] channels wide, and the options ask for 512\. Name the file"):
        require_width(found((512, 128), "pspnet"), {"channels": 512}, FILE)
