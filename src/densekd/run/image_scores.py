"""Scores of every image: ``image-scores.safetensors`` of a run, by which runs are paired image by image.

The images are those of the validation split in their order, which is that of ``inputs.json.gz``.
"""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from densekd.errors import UserError
from densekd.run.folder import RunFolder
from densekd.seal.tensors import damage_of_tensors, save_tensors

NAME = "image-scores.safetensors"


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
