"""What the end of a training says."""

from types import SimpleNamespace
from typing import Any

from densekd.metric_names import MetricName
from densekd.run.finish import _no_gain


def test_no_gain_is_said_with_where_to_read_on() -> None:
    metrics = SimpleNamespace(headline=MetricName("miou", "mIoU"))
    built: Any = SimpleNamespace(task=SimpleNamespace(metrics=metrics))
    said = _no_gain(built, {"student": {"miou": 40.0}, "baseline": {"miou": 41.0}})
    assert said == (
        "the distilled student is no better than alone: mIoU 40.0\N{NO-BREAK SPACE}%, alone 41.0\N{NO-BREAK SPACE}%. "
        "See docs/troubleshooting.md#no-gain."
    )
    assert _no_gain(built, {"student": {"miou": 42.0}, "baseline": {"miou": 41.0}}) is None
    assert _no_gain(built, {"student": {"miou": 42.0}}) is None
    assert _no_gain(built, {"student": {"miou": None}, "baseline": {"miou": None}}) is None
