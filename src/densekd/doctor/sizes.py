"""Sizes and scores of the two models: a student larger or better than its teacher."""

from densekd.doctor.case import Case
from densekd.doctor.finding import Finding


def examine_sizes(case: Case) -> list[Finding]:
    """Compare parameters, and for a finished run the scores, of student and teacher."""
    teacher = case.built.teacher
    if teacher is None:
        return []
    found: list[Finding] = []
    student = sum(parameter.numel() for parameter in case.built.distiller.student.parameters())
    if student > teacher.parameters:
        evidence = f"the student has {student / 1e6:.2f} M parameters, the teacher {teacher.parameters / 1e6:.2f} M"
        numbers = {"student": float(student), "teacher": float(teacher.parameters)}
        fix = "take a smaller student.model, or exchange student and teacher"
        found.append(Finding("student-larger-than-teacher", "warning", evidence, fix, numbers))
    return found + _compare_scores(case)


def _compare_scores(case: Case) -> list[Finding]:
    results, headline = case.results or {}, case.built.task.metrics.headline
    taught = (results.get("teacher") or {}).get(headline.key)
    alone = results.get("baseline") or results.get("student") or {}
    score = alone.get(headline.key)
    if taught is None or score is None or headline.gain(taught, score) >= 0:
        return []
    who = "student alone" if results.get("baseline") else "student"
    evidence = f"the {who} has {headline.title} {headline.format(score)}, the teacher {headline.format(taught)}"
    fix = "take a better teacher.checkpoint, or train without a teacher"
    return [Finding("teacher-below-student", "warning", evidence, fix, {"student": score, "teacher": taught})]
