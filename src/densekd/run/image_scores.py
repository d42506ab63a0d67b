"""Scores of every image: ``image-scores.safetensors`` of a run, by which runs are paired image by image.

The images are those of the validation split in their order, which is that of ``inputs.json.gz``.
"""

import math
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from densekd.errors import UserError
from densekd.explain import explain
from densekd.metric_names import MetricNames
from densekd.run.folder import RunFolder
from densekd.seal import read_document
from densekd.seal.tensors import damage_of_tensors, save_tensors

NAME = "image-scores.safetensors"
# Two evaluations of one model on the same images differ by no more than another device's arithmetic.
_SAME_SCORE = 1e-3


def write_image_scores(found: Mapping[str, Tensor | None], run: RunFolder) -> None:
    """Write what is known of each image, for every model that has it.

    Args:
        found: by ``student``, ``teacher``, ``baseline``: ``[N, 3, C]`` pixels of hits, labels and
            predictions of a segmentation; ``[N, 4]`` scores of a depth estimator; ``[R, 5]`` matches
            of a detector; None of others.
        run: the folder; a file of an earlier time is removed where there is nothing.
    """
    tensors = {name: values.contiguous() for name, values in found.items() if values is not None}
    path = run.path / NAME
    if tensors:
        save_tensors(tensors, path)
    else:
        path.unlink(missing_ok=True)


def read_image_scores(folder: Path) -> dict[str, Tensor]:
    """Return what is known of each image by a run's models; empty where the run has no such file.

    Raises:
        UserError: a damaged file.
    """
    path = folder / NAME
    if not path.exists():
        return {}
    damage = damage_of_tensors(path)
    try:
        if damage is None:
            return dict(load_file(path))
    except (OSError, SafetensorError) as error:
        damage = str(error)
    raise UserError(f"{path}: {damage}. Remove it; 'densekd train {folder} --resume' writes it anew.")


def add_image_scores(model: Path, headline: float | None, found: Tensor | None) -> str | None:
    """Write what a later evaluation found of each image into a finished run that does not have it.

    Args:
        model: a run, or the folder of the student alone in one; nothing is done for anything else.
        headline: of the evaluation, which was of the run's own data and settings.
        found: see :func:`write_image_scores`.

    Returns:
        What people should know of it; None where nothing was to be done. Where the run is damaged or cannot be
        written into, that is all that comes of it.
    """
    place = _place(model)
    if place is None or found is None or headline is None:
        return None
    try:
        return _add(*place, headline, found)
    except (UserError, OSError, ValueError) as error:
        return f"scores of each image are not kept: {explain(error) or error}"


def _add(folder: Path, role: str, headline: float, found: Tensor) -> str | None:
    """Write what was found of each image into a run, where it is the same training's; say what was done."""
    known = read_image_scores(folder)
    if role in known:
        return None
    results = read_document(folder / "results.json")
    name = MetricNames.from_json(results.get("metrics") or {}).headline.key
    before = (results.get(role) or {}).get(name)
    # Other images, or other settings than those of the training, would pair what is not the same.
    if before is None or not math.isclose(before, headline, rel_tol=_SAME_SCORE):
        return f"the score is not that of {folder / 'results.json'} ({before}): scores of each image are not kept"
    write_image_scores({**known, role: found}, RunFolder(folder))
    return f"scores of each image, by which 'densekd compare' pairs runs: {folder / NAME}"


def _place(model: Path) -> tuple[Path, str] | None:
    """Return the run that a folder belongs to, and what its model is called in the results."""
    # The student alone is a run in a run, and compared with the numbers of the outer one.
    role = {"baseline": "baseline", "baseline-seconds": "baseline_seconds"}.get(model.name)
    if role is not None and (model.parent / "results.json").is_file():
        return model.parent, role
    if (model / "results.json").is_file() and (model / "recipe.yaml").is_file():
        return model, "student"
    return None
