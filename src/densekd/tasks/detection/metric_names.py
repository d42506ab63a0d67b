"""What the scores of a detection are called: COCO's average precision and recall."""

from densekd.metric_names import MetricName, MetricNames

METRICS = MetricNames(
    names=(
        MetricName("ap", "AP"),
        MetricName("ap50", "AP50"),
        MetricName("ap75", "AP75"),
        MetricName("ap_small", "APs"),
        MetricName("ap_medium", "APm"),
        MetricName("ap_large", "APl"),
        MetricName("ar_1", "AR 1"),
        MetricName("ar_10", "AR 10"),
        MetricName("ar_100", "AR 100"),
        MetricName("ar_small", "ARs"),
        MetricName("ar_medium", "ARm"),
        MetricName("ar_large", "ARl"),
    ),
    compared=("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    by_class=MetricName("ap_by_class", "AP"),
    # Boxes are drawn on the photograph itself.
    pictures="photographs",
)
