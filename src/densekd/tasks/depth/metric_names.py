"""What the scores of a depth estimation are called."""

from densekd.metric_names import MetricName, MetricNames, Remark

CORRELATION = MetricName("correlation", "correlation with the teacher", "", digits=3)


def metrics_in(unit: str) -> MetricNames:
    """Return the names of the scores of depths in a unit."""
    return MetricNames(
        names=(
            MetricName("absrel", "AbsRel", "", "lower", 3),
            MetricName("rmse", "RMSE", unit, "lower", 2),
            MetricName("delta1", "delta1"),
        ),
        compared=("absrel", "rmse", "delta1"),
        interval="absrel_interval",
        remarks=(Remark(CORRELATION, "follows the teacher's maps with a correlation of {}"),),
        # Colors are a ramp, between two of which there is a third.
        pictures="photographs",
    )
