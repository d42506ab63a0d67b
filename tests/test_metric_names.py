import json

import pytest

from densekd.metric_names import MetricName, MetricNames, Remark
from densekd.tasks import TASKS

ERROR = MetricName("rmse", "RMSE", "m", "lower", 2)
NAMES = MetricNames(
    (ERROR, MetricName("delta1", "delta 1")),
    ("delta1", "rmse"),
    interval="delta1_interval",
    remarks=(Remark(ERROR, "misses by {}"),),
    details=("histogram",),
    pictures="photographs",
)


def test_a_gain_is_positive_where_the_value_is_better() -> None:
    assert ERROR.gain(1.0, 3.0) == 2
    assert MetricName("miou", "mIoU").gain(1.0, 3.0) == -2


def test_values_are_written_with_their_unit() -> None:
    assert ERROR.format(1.234) == "1.23\N{NO-BREAK SPACE}m"
    assert MetricName("absrel", "AbsRel", "", "lower", 3).format(0.1) == "0.100"
    assert MetricName("miou", "mIoU").format(48) == "48.0\N{NO-BREAK SPACE}%"
    assert (ERROR.label, ERROR.level) == ("RMSE, m", 0.005)


def test_the_headline_is_the_first_that_is_compared() -> None:
    assert NAMES.headline.key == "delta1"
    assert [name.key for name in NAMES.columns] == ["delta1", "rmse"]
    with pytest.raises(KeyError):
        NAMES["miou"]


@pytest.mark.parametrize("names", [NAMES, *(task.metrics for task in TASKS.values())])
def test_descriptions_survive_a_file(names: MetricNames) -> None:
    assert MetricNames.from_json(json.loads(json.dumps(names.to_json()))) == names


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"names": [], "compared": []},
        {"names": [{"key": "a"}], "compared": ["a"]},
        {"names": [{"key": "a", "title": "A"}], "compared": ["b"]},
        {"names": [{"key": "a", "title": "A", "better": "larger"}], "compared": ["a"]},
        {"names": "a", "compared": ["a"]},
    ],
)
def test_a_malformed_description_is_refused(content: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="'metrics' must describe the scores as densekd writes them"):
        MetricNames.from_json(content)
