"""Scores in sentences: from the exact numbers, and as plain about a loss as about a gain."""

from densekd.metric_names import MetricName
from densekd.report.budget import Budget
from densekd.report.results import Results, Scores
from densekd.report.run import Run
from densekd.report.text import count, distance, share, whole

ALONE = "the same student trained alone"


def headline(run: Run) -> str:
    """Say how good the student is against the same student trained alone and against the teacher.

    The share of the gap recovered is ``(student - baseline) / (teacher - baseline)``. It is given
    only where it means something: the teacher beats the baseline, and the student lies between the
    two.

    Args:
        run: the run; without results, its last validation is reported.

    Returns:
        One or two sentences.
    """
    # Before the end there is a validation; without labels there is agreement with the teacher.
    if run.results is None:
        return _unfinished(run)
    if run.results.student is None:
        return _unlabelled(run.results)
    metric = run.results.names.headline
    student, baseline, teacher = run.results.student, run.results.baseline, run.results.teacher
    opening = f"The distilled student scores {metric.format(student.score)} {metric.title}"
    if baseline is None and teacher is None:
        return f"{opening}. There is neither a baseline nor a teacher to compare it with."
    if baseline is None and teacher is not None:
        compared = _compared(metric, student.score, teacher.score)
        return f"{opening}: {compared} the teacher. Without {ALONE}, what distillation added is unknown."
    assert baseline is not None
    equal = run.results.budget.equal if run.results.budget else ""
    opening = f"{opening}: {_compared(metric, student.score, baseline.score)} {ALONE}{equal}"
    if teacher is None:
        return f"{opening}."
    return opening + _gap(metric, student.score, baseline.score, teacher.score)


def budgets(results: Results) -> str:
    """Say how the student lies to the student alone at equal steps and at equal seconds, as far as either is there.

    Otherwise there is nothing to say, and the text is empty.
    """
    if results.student is None or results.baseline is None or results.budget is None:
        return ""
    longer = None if results.baseline_seconds is None else results.baseline_seconds.score
    found = (results.baseline.score, longer)
    return budget_line(results.budget, results.names.headline, results.student.score, found)


def budget_line(budget: Budget, metric: MetricName, student: float, baselines: tuple[float, float | None]) -> str:
    """Say what scores compare: equal steps, equal seconds, and which of the two was not measured.

    Args:
        budget: of the run.
        metric: the headline.
        student: its score.
        baselines: of the student alone, and of a second one, of as many seconds, if there is one.
    """
    baseline, longer = baselines
    compared = _lies(metric, student, baseline)
    return budget.sentence(compared, None if longer is None else _lies(metric, student, longer))


def size(results: Results) -> str:
    """Say how small the student is beside the teacher, as far as the parameters are known.

    Otherwise there is nothing to say, and the text is empty.
    """
    if results.student is None or not results.student.parameters:
        return ""
    student = results.student.parameters
    sentence = f"It has {count(student)} parameters"
    if results.teacher is None or not results.teacher.parameters:
        return f"{sentence}."
    teacher = results.teacher.parameters
    return f"{sentence}, {share(student, teacher)} of the {count(teacher)} that the teacher has."


def certainty(results: Results) -> str:
    """Say how far the score would vary over images, and what else is known of the student.

    Otherwise there is nothing to say, and the text is empty.
    """
    student, metric = results.student, results.names.headline
    if student is None:
        return ""
    # The interval first: the smaller the set, the more it matters.
    sentences: list[str] = []
    if student.interval is not None:
        low, high = student.interval
        between = f"between {low:.{metric.digits}f} and {metric.format(high)} (95 %, bootstrap)"
        sentences.append(f"Over images like these its {metric.title} lies {between}.")
    sentences += [f"It {clause}." for clause in _clauses(results)]
    return " ".join(sentences)


def scored_on(results: Results) -> str:
    """Say on how many images of which split the scores were taken, model by model where the counts differ."""
    models: dict[str, Scores | None] = {
        "teacher": results.teacher,
        "alone": results.baseline,
        "distilled": results.student,
    }
    # Differences between models mean something only on the same images.
    counts: dict[str, float] = {}
    for name, scores in models.items():
        if scores is not None and scores.images is not None:
            counts[name] = scores.images
    if not counts and not results.split:
        return ""
    if not counts:
        return f"Scored on the {results.split} split."
    split = f" of the {results.split} split" if results.split else ""
    if len(set(counts.values())) == 1:
        return f"Scored on {whole(next(iter(counts.values())))} images{split}."
    listed = ", ".join(f"{name} on {whole(images)}" for name, images in counts.items())
    unlike = "The differences are not like for like."
    return f"Scored on different numbers of images{split}: {listed}. {unlike}"


def _lies(metric: MetricName, value: float, other: float) -> str:
    """Say how one score lies to another where the other is not named behind it: "7.1 points above", "level"."""
    return _compared(metric, value, other).removesuffix(" with").removesuffix(" than")


def _compared(metric: MetricName, value: float, other: float) -> str:
    """Say how one score lies to another: "7.1 points above".

    Of scores to be low "0.012 better than".
    """
    gain = metric.gain(value, other)
    if abs(gain) < metric.level:
        return "level with"
    # "Below" says of an error nothing about who is better.
    words = {"higher": ("above", "below"), "lower": ("better than", "worse than")}
    better, worse = words[metric.better]
    return f"{distance(gain, metric)} {better if gain > 0 else worse}"


def _gap(metric: MetricName, student: float, baseline: float, teacher: float) -> str:
    gap = metric.gain(teacher, baseline)
    gain = metric.gain(student, baseline)
    # A share of the gap means something only where there is a gap and the student is inside it.
    if gap < metric.level:
        at = metric.format(teacher)
        none = "is no better than the student alone: there is no gap to recover"
        return f". The teacher, at {at}, {none}."
    if gain <= -metric.level:
        now = distance(metric.gain(teacher, student), metric)
        return f". The gap to the teacher grew from {gap:.{metric.digits}f} to {now}."
    if gain < metric.level:
        return ", and recovers none of the gap to the teacher."
    if metric.gain(student, teacher) >= metric.level:
        return f", and {_compared(metric, student, teacher)} the teacher."
    return f", and recovers {share(gain, gap)} of the gap to the teacher."


def _clauses(results: Results) -> list[str]:
    """Say what is known of the student besides its scores."""
    clauses: list[str] = []
    for remark in results.names.remarks:
        value = results.remarks.get(remark.name.key)
        if value is not None:
            clauses.append(remark.clause.format(remark.name.format(value)))
    return clauses


def _unlabelled(results: Results) -> str:
    """Say what is known of a student that could not be scored."""
    clauses = _clauses(results)
    if not clauses:
        return "The student has not been evaluated yet."
    return f"The distilled student {clauses[0]}; there are no labels to score it with."


def _unfinished(run: Run) -> str:
    opening = "The student has not been evaluated yet"
    if run.names is None:
        return f"{opening}."
    metric = run.names.headline
    validated = run.student.get(f"val/{metric.key}")
    if validated is None or not validated.points:
        return f"{opening}."
    step, score = validated.points[-1]
    gave = f"{metric.format(score)} {metric.title} at step {whole(step)}"
    return f"{opening}. Its last validation gave {gave}."
