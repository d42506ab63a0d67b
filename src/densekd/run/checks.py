"""Checks before the first step: samples of the data are read, the teacher is scored."""

from rich.console import Console

from densekd.builders.build import Built
from densekd.data.loaders import evaluation_set
from densekd.evaluation import evaluate, subset
from densekd.titles import SEGMENTATION, titles_of

SAMPLES = 32


def read_samples(built: Built) -> None:
    """Read a sample of both splits, so that a broken data set stops a training before its first step.

    Raises:
        UserError: an image or its label is missing or damaged.
    """
    for files in (built.training.files, built.validation):
        samples = evaluation_set(subset(files, SAMPLES), None)
        for index in range(len(samples)):
            samples[index]


def score_teacher(built: Built, console: Console) -> None:
    """Score the teacher on a sample of the validation images, so that a broken one is seen at once."""
    teacher = built.scored_teacher
    if teacher is None:
        return
    sample = subset(built.validation, SAMPLES)
    scores = evaluate(teacher, sample, built.package.resize)
    titles = titles_of(scores)
    score = scores[titles.headline]
    # Images without labels have no scores.
    if score is None:
        return
    console.print(f"teacher: {titles.name} {score:.1f} % on {len(sample)} validation images", highlight=False)
    chance = 1.0
    if titles is SEGMENTATION:
        chance = chance_miou(len(built.validation.classes.names))
    if score < chance:
        console.print(f"[yellow]warning:[/] the teacher is below chance level ({chance:.1f} %); is it the right one?")


def chance_miou(num_classes: int) -> float:
    """Return the mIoU, in percent, of a uniform guess over C equally frequent classes: 100 / (2 C - 1)."""
    return 100 / (2 * num_classes - 1)
