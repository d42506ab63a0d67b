"""What is odd about pictures is said once for all of them."""

import pytest

from densekd.data.picture import PictureKind, Seen, remarks

PLAIN = PictureKind("RGB", 8, 1, 1, (4, 6))


def seen(size: tuple[int, int] = (4, 6), **values: object) -> Seen:
    return Seen("a.png", PLAIN._replace(**values), size)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pictures", "labelled", "expected"),
    [
        ([seen()], True, []),
        (
            [seen((6, 4), orientation=6), seen((6, 4), orientation=8), seen((6, 4), orientation=6)],
            True,
            ["EXIF orientation 6 (2 images), 8 (1 image): turned as viewers show them"],
        ),
        ([seen(orientation=6)], True, ["EXIF orientation 6 (1 image): not turned: their labels or boxes fit"]),
        ([seen(orientation=3)], True, ["EXIF orientation 3 (1 image): turned as viewers show them, as OpenCV"]),
        ([seen(orientation=3)], False, ["EXIF orientation 3 (1 image): turned as viewers show them"]),
        ([seen(frames=3), seen(frames=7)], True, ["2 images with up to 7 frames or pages: the first is read"]),
        ([seen(transparent=0.25)], True, ["1 image with up to 25.0 % of transparent pixels"]),
        ([seen(bits=16, values=(0.0, 4095.0))], True, ["1 image of 16 bits with values up to 4095 of 65535: almost"]),
        ([seen(bits=16, values=(0.0, 5000.0)), seen(values=(0.0, 3.0))], True, []),
    ],
)
def test_one_remark_for_all(pictures: list[Seen], labelled: bool, expected: list[str]) -> None:
    found = remarks(pictures, labelled)
    assert len(found) == len(expected)
    for remark, beginning in zip(found, expected, strict=True):
        assert remark.what.startswith(beginning)
        assert remark.first == "a.png"
    if not labelled:
        assert "nothing tells" not in found[0].what
