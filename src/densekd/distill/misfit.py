"""Messages about shapes that do not fit each other in a term, and what would fix it."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from densekd.data.class_maps import class_map_between
from densekd.errors import RecipeError


class Meeting(NamedTuple):
    """Two maps that have to fit each other.

    Args:
        student: what the student's map is called.
        student_shape: ``[B, C, H, W]``.
        teacher: what the teacher's map is called.
        teacher_shape: ``[B, C, H, W]``.
    """

    student: str
    student_shape: torch.Size
    teacher: str
    teacher_shape: torch.Size


def describe_misfit(meetings: Sequence[Meeting], adapter: str | None, resize_to: str | None) -> str:
    """Describe which shapes meet in a term, and what would bring them together.

    Args:
        meetings: of every level.
        adapter: name of the adapter that changes channels; None where none could.
        resize_to: value of that key that changes sizes; None where they may differ.
    """
    shapes, convolutions = [], []
    sizes_differ = False
    class_maps: list[str] = []
    scores = False
    for student, student_shape, teacher, teacher_shape in meetings:
        shapes.append(f"{student} is {list(student_shape)}, {teacher} is {list(teacher_shape)}")
        sizes_differ |= student_shape[2:] != teacher_shape[2:]
        if student_shape[1] == teacher_shape[1]:
            continue
        if student.endswith(" logits") and teacher.endswith(" logits"):
            known = class_map_between(teacher_shape[1], student_shape[1])
            class_maps.append("" if known is None else f": {known}")
        elif _is_score(student) and _is_score(teacher):
            scores = True
        elif adapter is not None:
            convolutions.append(f"{student_shape[1]} -> {teacher_shape[1]}")
    fixes = []
    if convolutions:
        fixes.append(f"'adapter: {adapter}' (a 1x1 convolution {', '.join(convolutions)})")
    if class_maps:
        fixes.append(f"'teacher.classes{class_maps[0]}', which maps the data's classes to the teacher's")
    if scores:
        # A convolution would learn a translation between scores of two kinds.
        fixes = [
            "features of both, such as 'neck': the scores of two kinds of heads, or of other classes, do not match"
        ]
    elif sizes_differ and resize_to is not None:
        fixes.append(f"'resize_to: {resize_to}'")
    remedy = f"Fix it with {' and '.join(fixes)}. " if fixes else ""
    return f"{'; '.join(shapes)}. {remedy}"


def require_places(where: str, name: str, shape: Sequence[int], images: Sequence[int]) -> None:
    """Refuse a tapped tensor whose places are not its last two dimensions.

    Args:
        where: of the term, for messages.
        name: of the tensor.
        shape: of the tensor.
        images: shape of what the model saw, ``[B, 3, H, W]``.

    Raises:
        RecipeError: tokens ``[B, N, C]`` and all else that has not four dimensions, or channels that are last.
    """
    remedy = "see 'Tokens and channels last' in docs/models.md"
    if len(shape) != 4:
        kind = "tokens, or " if len(shape) == 3 else ""
        raise RecipeError(
            f"{where}: {name} is {list(shape)}: {kind}no map [B, C, H, W]. Tap a module that returns one; {remedy}."
        )
    # Channels last show as a map with one stride, where what should be the places has two.
    if _stride(shape[1:3], images[2:]) and not _stride(shape[2:4], images[2:]):
        raise RecipeError(
            f"{where}: {name} is {list(shape)}, which is [B, H, W, C] of images of {images[2]} x {images[3]}; a map is "
            f"[B, C, H, W]. Tap a module that returns one; {remedy}."
        )


def require_one_stride(where: str, names: tuple[str, str], student: Sequence[int], teacher: Sequence[int]) -> None:
    """Refuse two levels of pyramids whose sizes are a factor apart, which a loss would resize without a word.

    Args:
        where: of the term, for messages.
        names: of the student's and the teacher's level.
        student: shape of the student's level.
        teacher: shape of the teacher's level.

    Raises:
        RecipeError: says how the levels are paired, and how one is resized on purpose.
    """
    # Roundings of odd sizes are less than this.
    if all(max(own, other) < 1.5 * min(own, other) for own, other in zip(student[2:], teacher[2:], strict=True)):
        return
    raise RecipeError(
        f"{where}: {names[0]} is {list(student)}, {names[1]} is {list(teacher)}: levels of two strides. Pair "
        "those of one stride, such as student neck.{0,1,2,3} with teacher neck.{1,2,3,4}; 'resize_to: teacher' resizes "
        "on purpose."
    )


def _is_score(name: str) -> bool:
    """Tell whether a map is what a detector's head says of classes or boxes."""
    return name.rpartition(" ")[2].partition(".")[0] in ("cls", "reg")


def _stride(places: Sequence[int], size: Sequence[int]) -> bool:
    """Tell whether places lie over an image at one whole stride of at least 2."""
    (height, width), (rows, columns) = size, places
    return height % rows == 0 and width % columns == 0 and height // rows == width // columns > 1
