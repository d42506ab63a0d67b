"""Checks before the first step: samples of the data are read, the teacher is scored."""

from rich.console import Console

from densekd.builders.build import Built
from densekd.data.contract import subset

SAMPLES = 32


def read_samples(built: Built) -> None:
    """Read a sample of both splits: a broken dataset stops a training before its first step.

    Raises:
        UserError: an image or its label is missing or damaged.
    """
    for files in (built.training.files, built.validation):
        samples = built.task.evaluation_set(subset(files, SAMPLES), None)
        for index in range(len(samples)):
            samples[index]


def score_teacher(built: Built, console: Console) -> None:
    """Score the teacher on a sample of the validation images: a broken one is seen at once."""
    teacher = built.scored_teacher
    if teacher is None:
        return
    sample = subset(built.validation, SAMPLES)
    task, headline = built.task, built.task.metrics.headline
    score = task.scores(teacher, sample, built.package.resize)[headline.key]
    # Images without labels have no scores.
    if score is None:
        return
    found = f"{headline.title} {headline.format(score)}"
    console.print(f"teacher: {found} on {len(sample)} validation images", highlight=False)
    chance = task.chance
    if chance is not None and headline.gain(score, chance) < 0:
        level = headline.format(chance)
        console.print(f"[yellow]warning:[/] the teacher is worse than chance ({level}); is it the right one?")
