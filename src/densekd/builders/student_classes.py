"""Order of the classes of a student that begins with a checkpoint: the data follows it, by name."""

from densekd.builders.teacher_classes import BY_NUMBER
from densekd.data.class_order import describe_difference, follow, reordered, with_notes
from densekd.data.contract import Files
from densekd.errors import RecipeError
from densekd.models.classes import are_unnamed
from densekd.models.open import Opened


def in_order_of_student(match: str, student: Opened, files: Files) -> Files:
    """Count the data's classes as the checkpoint counts them that a student begins with.

    Args:
        match: ``by-name``, ``by-number`` or ``fine-tune``, the recipe's ``student.classes``.
        student: as it was built, with the classes that its checkpoint names.
        files: of the training split, with as many classes.

    Returns:
        The same files where the checkpoint has no names, or the same in the same order.

    Raises:
        RecipeError: other classes; both lists are shown.
    """
    if match == BY_NUMBER or are_unnamed(student.classes):
        return files
    who, whom = "data.train", "student.checkpoint"
    try:
        classes = reordered(files.classes, student.classes.names)
    except ValueError as error:
        difference = describe_difference(files.classes.names, student.classes.names, who, whom)
        raise RecipeError(
            f"student.checkpoint: {difference} Where they are the same under other names, say 'student.classes: "
            f"{BY_NUMBER}'; to fine-tune for other classes, 'student.classes: fine-tune'."
        ) from error
    files, note = follow(files, classes, (), who, whom)
    return with_notes(files, note)


def in_order_of_training(validation: Files, training: Files) -> Files:
    """Count the classes of a validation split anew, as those of its training split are counted by now."""
    files, _ = follow(validation, training.classes, training.categories, "data.val", "data.train")
    return files
