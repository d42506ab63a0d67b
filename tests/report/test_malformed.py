from pathlib import Path

import pytest

from densekd.errors import UserError
from densekd.report import write_report


def test_an_empty_folder_is_an_error_that_names_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        write_report(tmp_path)
    assert str(error.value) == f"{tmp_path}: no report can be made, there is neither results.json nor metrics.csv."
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            '{"student":\n {"miou": }}',
            ", line 2: not valid JSON (Expecting value). A run's scores are made anew by 'densekd train RUN --resume'.",
        ),
        ("[1]", ": 'the document' must be an object, not [1]."),
        ("{}", ": 'student' is missing."),
        ('{%s"student": {}}', ": 'student.miou' is missing."),
        ('{%s"student": {"miou": "48"}}', ": 'student.miou' must be a number of at least 0, not '48'."),
        ('{%s"student": {"miou": NaN}}', ": 'student.miou' must be a number of at least 0, not nan."),
        ('{%s"student": {"miou": 480}}', ": 'student.miou' must be a percentage from 0 to 100, not 480."),
        (
            '{%s"student": {"miou": 4, "iou": {"sky": true}}}',
            ": 'student.iou.sky' must be a number of at least 0, not True.",
        ),
        (
            '{%s"student": {"miou": 4}, "palette": {"sky": [1, 2]}}',
            ": 'palette.sky' must be three whole numbers from 0 to 255, not [1, 2].",
        ),
    ],
)
def test_malformed_results(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(text.replace("%s", '"task": "segmentation", '))
    with pytest.raises(UserError) as error:
        write_report(tmp_path)
    assert str(error.value) == f"{path}{complaint}"
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("place", [".", "baseline"])
@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "line 1: the first column must be 'step', not ''."),
        ("epoch,loss\n1,2\n", "line 1: the first column must be 'step', not 'epoch'."),
        ("step,loss,loss\n", "line 1: the column 'loss' appears twice."),
        ("step,loss\n1,2\n\n2,x\n", "line 4: 'x' in column 'loss' is not a number."),
        ("step,loss\n1,2,3\n", "line 2: 3 cells, but the header has 2."),
        ("step,loss\n,2\n", "line 2: '' in column 'step' is not a number."),
        ("step,loss\nnan,2\n", "line 2: the step must be finite, not 'nan'."),
    ],
)
def test_malformed_metrics(tmp_path: Path, place: str, text: str, complaint: str) -> None:
    (tmp_path / "metrics.csv").write_text("step,loss\n1,2\n")
    path = tmp_path / place / "metrics.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    with pytest.raises(UserError) as error:
        write_report(tmp_path)
    assert str(error.value) == f"{path}, {complaint}"


def test_bytes_that_are_no_text_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_bytes(b"step,loss\n1,\xff\n")
    with pytest.raises(UserError, match=r"metrics\.csv: cannot be read .*can't decode byte 0xff"):
        write_report(tmp_path)
    (tmp_path / "results.json").write_bytes(b"\xff")
    with pytest.raises(UserError, match=r"results\.json: cannot be read .*not readable as text in UTF-8: byte 0"):
        write_report(tmp_path)
