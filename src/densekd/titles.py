"""What the scores of each task are called, and which of them models are compared by."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Titles:
    """The scores of one task.

    Args:
        means: key in a results file -> title, in the order they are shown for one model.
        compared: the keys that stand side by side for several models, the headline first.
        by_class: key and title of the score that each class has.
    """

    means: Mapping[str, str]
    compared: tuple[str, ...]
    by_class: tuple[str, str]

    @property
    def headline(self) -> str:
        """The key of the one score that models are compared by."""
        return self.compared[0]

    @property
    def name(self) -> str:
        """The title of the headline."""
        return self.means[self.headline]


SEGMENTATION = Titles(
    {
        "miou": "mIoU",
        "fwiou": "fwIoU",
        "macc": "mAcc",
        "aacc": "aAcc",
        "boundary": "boundary F-score",
        "ece": "calibration error",
    },
    ("miou", "macc", "aacc"),
    ("iou", "IoU"),
)
DETECTION = Titles(
    {
        "ap": "AP",
        "ap50": "AP50",
        "ap75": "AP75",
        "ap_small": "APs",
        "ap_medium": "APm",
        "ap_large": "APl",
        "ar_1": "AR 1",
        "ar_10": "AR 10",
        "ar_100": "AR 100",
        "ar_small": "ARs",
        "ar_medium": "ARm",
        "ar_large": "ARl",
    },
    ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    ("ap_by_class", "AP"),
)


def titles_of(scores: Mapping[str, object]) -> Titles:
    """Tell from its scores what a model was scored on; segmentation where they do not say."""
    return DETECTION if DETECTION.headline in scores else SEGMENTATION
