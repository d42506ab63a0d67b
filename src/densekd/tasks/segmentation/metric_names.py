"""What the scores of a segmentation are called."""

from densekd.metric_names import MetricName, MetricNames, Remark

CALIBRATION = MetricName("ece", "calibration error", better="lower")
AGREEMENT = MetricName("agreement", "agreement with the teacher")

METRICS = MetricNames(
    names=(
        MetricName("miou", "mIoU"),
        MetricName("fwiou", "fwIoU"),
        MetricName("macc", "mAcc"),
        MetricName("aacc", "aAcc"),
        MetricName("boundary", "boundary F-score"),
        CALIBRATION,
    ),
    compared=("miou", "macc", "aacc"),
    by_class=MetricName("iou", "IoU"),
    interval="miou_interval",
    remarks=(
        Remark(AGREEMENT, "gives {} of the pixels the teacher's class"),
        Remark(CALIBRATION, "has a confidence that misses its accuracy by {} on average"),
    ),
    details=("confusion",),
)
