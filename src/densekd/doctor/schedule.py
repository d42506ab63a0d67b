"""Schedule of a recipe: too few steps to learn anything, a warm-up that hardly ends."""

from densekd.doctor.case import Case
from densekd.doctor.finding import Finding

# Steps that no optimizer learns in, and steps from which a part of the images may be enough.
_FEWEST, _MANY = 30, 1000


def examine_schedule(case: Case) -> list[Finding]:
    """Compare the number of steps with the images and with the warm-up of the learning rate."""
    steps, warmup = case.recipe.training.length, case.recipe.optimizer.warmup
    images = len(case.built.training.files)
    passes = steps * case.recipe.data.batch_size / max(1, images)
    found: list[Finding] = []
    if steps < _FEWEST or (passes < 1 and steps < _MANY):
        evidence = f"{steps} steps of {case.recipe.data.batch_size} images: {passes:.2g} passes over {images} images"
        numbers = {"steps": float(steps), "passes": passes}
        found.append(Finding("schedule-too-short", "warning", evidence, "raise training.steps", numbers))
    # A rate that rises for most of a training was never what the recipe says.
    if 2 * warmup > steps:
        evidence = f"the learning rate warms up for {warmup} of {steps} steps"
        numbers = {"warmup": float(warmup), "steps": float(steps)}
        found.append(Finding("warmup-too-long", "warning", evidence, "lower optimizer.warmup", numbers))
    return found
