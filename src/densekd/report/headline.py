"""What the scores say, in sentences: computed from the exact numbers, and as plain about a loss as about a gain."""

from densekd.report.results import Results, Scores
from densekd.report.run import Run
from densekd.report.text import LEVEL, count, percent, points, share, whole
from densekd.titles import DETECTION, SEGMENTATION

ALONE = "the same student trained alone"


def headline(run: Run) -> str:
    """Say how good the student is against the same student trained alone and against the teacher.

    The share of the gap recovered is ``(student - baseline) / (teacher - baseline)``. It is given only where it means
    something: the teacher beats the baseline, and the student lies between the two.

    Args:
        run: the run; without results, its last validation is reported.

    Returns:
        One or two sentences.
    """
    if run.results is None:
        return _unfinished(run)
    student, baseline, teacher = run.results.student, run.results.baseline, run.results.teacher
    opening = f"The distilled student scores {percent(student.score)} {run.results.titles.name}"
    if baseline is None and teacher is None:
        return f"{opening}. There is neither a baseline nor a teacher to compare it with."
    if baseline is None and teacher is not None:
        distance = _distance(student.score - teacher.score, "the teacher")
        return f"{opening}: {distance}. Without {ALONE}, what distillation added is unknown."
    assert baseline is not None
    opening = f"{opening}: {_distance(student.score - baseline.score, ALONE)}"
    return f"{opening}." if teacher is None else opening + _gap(student.score, baseline.score, teacher.score)


def size(results: Results) -> str:
    """Say how small the student is beside the teacher, as far as the parameters are known; else nothing."""
    student, teacher = results.student.parameters, results.teacher and results.teacher.parameters
    if not student:
        return ""
    if not teacher:
        return f"It has {count(student)} parameters."
    return (
        f"It has {count(student)} parameters, {share(student, teacher)} of the {count(teacher)} that the teacher has."
    )


def certainty(results: Results) -> str:
    """Say how far the score would vary over images, and how much the student follows the teacher; else nothing."""
    student = results.student
    sentences = []
    if student.interval is not None:
        low, high = student.interval
        between = f"between {low:.1f} and {high:.1f} % (95 %, bootstrap)"
        sentences.append(f"Over images like these its {results.titles.name} lies {between}.")
    if student.agreement is not None:
        sentences.append(f"It gives {percent(student.agreement)} of the pixels the teacher's class.")
    if student.ece is not None:
        sentences.append(f"Its confidence misses its accuracy by {percent(student.ece)} on average.")
    return " ".join(sentences)


def scored_on(results: Results) -> str:
    """Say on how many images of which split the scores were taken, model by model where the counts differ."""
    models: dict[str, Scores | None] = {
        "teacher": results.teacher,
        "alone": results.baseline,
        "distilled": results.student,
    }
    counts = {name: scores.images for name, scores in models.items() if scores and scores.images is not None}
    split = f" of the {results.split} split" if results.split else ""
    if len(set(counts.values())) == 1:
        return f"Scored on {whole(next(iter(counts.values())))} images{split}."
    if counts:
        listed = ", ".join(f"{name} on {whole(images)}" for name, images in counts.items())
        return f"Scored on different numbers of images{split}: {listed}. The differences are not like for like."
    return f"Scored on the {results.split} split." if results.split else ""


def _distance(difference: float, other: str) -> str:
    if abs(difference) < LEVEL:
        return f"level with {other}"
    return f"{points(difference)} {'above' if difference > 0 else 'below'} {other}"


def _gap(student: float, baseline: float, teacher: float) -> str:
    gap, gain = teacher - baseline, student - baseline
    if gap < LEVEL:
        return f". The teacher, at {percent(teacher)}, is no better than the student alone: there is no gap to recover."
    if gain <= -LEVEL:
        return f". The gap to the teacher grew from {gap:.1f} to {points(teacher - student)}."
    if gain < LEVEL:
        return ", and recovers none of the gap to the teacher."
    if student - teacher >= LEVEL:
        return f", and {points(student - teacher)} above the teacher."
    return f", and recovers {share(gain, gap)} of the gap to the teacher."


def _unfinished(run: Run) -> str:
    if run.agreement is not None:
        return (
            f"The distilled student gives {percent(run.agreement)} of the pixels the teacher's class; there are no "
            "labels to score it with."
        )
    opening = "The student has not been evaluated yet"
    for titles in (SEGMENTATION, DETECTION):
        validated = run.student.get(f"val/{titles.headline}")
        if validated is not None and validated.points:
            step, score = validated.points[-1]
            return f"{opening}. Its last validation gave {percent(score)} {titles.name} at step {whole(step)}."
    return f"{opening}."
