"""Groups of trials that can be trained together, because they see the same batches."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence

from densekd.recipe import Recipe
from densekd.sweep.sections import SweepSpec
from densekd.sweep.trials import Trial

# Loggers that write into the run folder and know nothing of other trainings of their process.
_LOGGERS = frozenset({"tensorboard", "csv"})
# What trials of one group may have of their own. Everything else decides on the batches or on the arithmetic.
_OWN = ("name", "student", "teacher", "distill", "optimizer", "logging", "baseline_steps")


def groups_of(spec: SweepSpec, trials: Sequence[Trial]) -> dict[str, str]:
    """Return for each trial the name of its group; empty for one that is trained alone."""
    found = dict.fromkeys((trial.name for trial in trials), "")
    if not spec.together:
        return found
    counts: Counter[str] = Counter()
    for trial in trials:
        if reason_alone(trial.recipe) is None:
            stream = _stream_of(trial.recipe)
            part = 0 if spec.together is True else counts[stream] // spec.together
            counts[stream] += 1
            found[trial.name] = f"{stream}-{part}"
    # A group of one is none.
    sizes = Counter(found.values())
    for name, group in found.items():
        if sizes[group] == 1:
            found[name] = ""
    return found


def reason_alone(recipe: Recipe) -> str | None:
    """Return why a trial is trained by itself; None where it can be trained together with others."""
    if recipe.teacher is not None and recipe.teacher.cache is not None:
        return "teacher.cache"
    if recipe.lacks_length:
        return "training.seconds"
    if recipe.baseline is not None:
        return "baseline"
    if recipe.callbacks:
        return "callbacks"
    if any(logger.name not in _LOGGERS for logger in recipe.logging):
        return "logging"
    compiled = recipe.training.compile != "none"
    if compiled or (recipe.teacher is not None and recipe.teacher.compile != "none"):
        return "compile"
    return None


def describe_groups(spec: SweepSpec, trials: Sequence[Trial]) -> str:
    """Return a line that says how many trials are trained together, and why others are not."""
    groups = groups_of(spec, trials)
    sizes = Counter(group for group in groups.values() if group)
    line = "together: no group"
    if sizes:
        plural = "" if len(sizes) == 1 else "s"
        line = f"together: {len(sizes)} group{plural} of {', '.join(map(str, sizes.values()))} trials"
    alone = []
    for trial in trials:
        if not groups[trial.name]:
            alone.append(f"{trial.name} ({reason_alone(trial.recipe) or 'no other sees the same batches'})")
    return f"{line}; alone: {', '.join(alone)}" if alone else line


def _stream_of(recipe: Recipe) -> str:
    """Return a digest of what decides on the batches of a training."""
    content = recipe.model_dump(mode="json", exclude=set(_OWN))
    # The classes are counted in the order of a student's checkpoint, and labels with them.
    student = recipe.student.model_dump(mode="json")
    content["order"] = {key: student.get(key) for key in ("checkpoint", "classes")}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
