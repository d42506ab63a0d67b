"""The confusion matrix as a picture: percent of the label's pixels, titled axes, light and dark."""

from xml.etree import ElementTree

from densekd.data.classes import Classes
from densekd.tasks.segmentation.confusion_picture import confusion_picture

SVG = "{http://www.w3.org/2000/svg}"


def classes(*names: str) -> Classes:
    return Classes(names, tuple((k, k, k) for k in range(len(names))), 255)


def test_numbers_are_percent_of_the_row() -> None:
    figure = confusion_picture([[90, 10, 0], [1, 996, 3], [0, 0, 0]], classes("sky", "<road>", "car"))
    root = ElementTree.fromstring(figure.svg)
    cells = [(cell[0].text, [text.text for text in cell.iter(f"{SVG}text")]) for cell in root.iter(f"{SVG}g")]
    # A label without pixels has an empty row; less than half a percent has no number.
    assert cells == [
        ("sky predicted as sky: 90.0 %", ["90"]),
        ("sky predicted as <road>: 10.0 %", ["10"]),
        ("<road> predicted as sky: 0.1 %", []),
        ("<road> predicted as <road>: 99.6 %", ["100"]),
        ("<road> predicted as car: 0.3 %", []),
    ]
    kinds = [rect.get("class") for rect in root.iter(f"{SVG}rect")]
    assert kinds == ["frame", "right", "wrong", "wrong", "right", "wrong"]


def test_axes_have_titles_and_names_fit() -> None:
    long = "a class whose name is longer than anybody would want"
    figure = confusion_picture([[1, 0], [0, 1]], classes(long, "car"))
    root = ElementTree.fromstring(figure.svg)
    texts = [text.text or "" for text in root.iter(f"{SVG}text")]
    assert texts[:2] == ["predicted", "label"]
    assert texts.count("car") == 2
    assert max(map(len, texts)) == 24
    # The full name is in the cell's title.
    assert f"{long} predicted as {long}: 100.0 %" in [title.text for title in root.iter(f"{SVG}title")]
    assert root.get("width") == root.get("height")


def test_it_follows_the_reader_into_the_dark() -> None:
    svg = confusion_picture([[1]], classes("sky")).svg
    assert "prefers-color-scheme: dark" in svg
    assert "background" not in svg


def test_many_classes_stay_small() -> None:
    counts = [[1000 if row == column else 0 for column in range(150)] for row in range(150)]
    svg = confusion_picture(counts, classes(*(f"class {k}" for k in range(150)))).svg
    assert len(svg) < 100_000
