"""What all readers share: the configuration at hand, the devices it runs on, and its report."""

from dataclasses import dataclass

from densekd.convert_config.report import Report
from densekd.convert_config.settings import Settings
from densekd.errors import UserError

# Images that are trained on, per epoch; COCO without those that have no boxes.
IMAGES = {
    "cityscapes": 2975,
    "ade20k": 20210,
    "voc": 10582,
    "cocostuff": 118287,
    "cocostuff10k": 9000,
    "camvid": 367,
    "coco": 117266,
}
# A checkpoint is where an interrupted training goes on: a few minutes apart, whatever the original.
_LONGEST_INTERVAL, _USUAL_INTERVAL = 4000, 1000


@dataclass(frozen=True)
class Job:
    """A configuration of OpenMMLab that becomes a recipe.

    Args:
        config: the merged configuration.
        report: what was assumed and left.
        modern: in mmengine's keys (``optim_wrapper``, ...), not in mmcv's (``lr_config``, ...).
        gpus: devices of the original.
        images: images of an epoch; None: those of the dataset, where they are known.
    """

    config: Settings
    report: Report
    modern: bool
    gpus: int
    images: int | None = None

    def epoch_steps(self, dataset: str, batch: int) -> int:
        """Return the steps of an epoch, the last batch filled up.

        Raises:
            UserError: the number of images is not known.
        """
        images = self.images or IMAGES.get(dataset)
        if images is None:
            raise UserError(
                f"{self.report.source}: the schedule counts epochs, and nobody says how many images '{dataset}' "
                "has. Say it: --images N."
            )
        steps = -(-images // batch)
        self.report.assume(f"an epoch is {images} images in batches of {batch}: {steps} steps")
        return steps


def checkpoint_interval(steps: int, report: Report) -> int:
    """Return the steps between two checkpoints; long intervals are shortened."""
    if steps <= _LONGEST_INTERVAL:
        return steps
    report.assume(f"checkpoints every {_USUAL_INTERVAL} steps instead of {steps}: a training goes on from the last")
    return _USUAL_INTERVAL
