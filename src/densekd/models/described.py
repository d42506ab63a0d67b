"""Description of a model in its checkpoint: classes, and options that keys and shapes do not show."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from densekd.data.classes import Classes
from densekd.errors import UserError
from densekd.models.checkpoints.file import Checkpoint, split_part
from densekd.models.checkpoints.preprocessing import input_options
from densekd.models.checkpoints.recognize import recognize
from densekd.models.checkpoints.widths import require_width
from densekd.models.classes import classes_in
from densekd.models.package import PackageConfig, config_beside, parse_config


def options_for(
    checkpoint: Checkpoint, model: str, options: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Complete the options of a model that the caller names by what its checkpoint says of the input.

    Args:
        checkpoint: the weights, in whatever project's layout.
        model: name of the architecture.
        options: the caller's, which come last.

    Returns:
        all options, and what people should know of those that were added.

    Raises:
        UserError: a file whose head is not as wide as the options say.
    """
    # Weights of ours that were trained on other bands need the same bands, normalized alike.
    described = checkpoint.package or _described_beside(Path(checkpoint.name))
    own = {} if described is None else described.get("options", {})
    if described is not None and described.get("model") == model and "bands" in own and "bands" not in options:
        return {**options, "bands": own["bands"]}, ()
    found = None if checkpoint.package is not None else recognize(checkpoint.state)
    if found is None or found.model != model:
        return dict(options), ()
    require_width(found, options, checkpoint.name)
    preset, notes = input_options(found, checkpoint, options)
    return preset | dict(options), notes


def classes_in_checkpoint(checkpoint: Checkpoint, count: int) -> Classes:
    """Return the classes that a checkpoint names; unnamed ones where it does not name ``count``."""
    config = description_of(checkpoint)
    if config is not None and len(config.classes) == count:
        return config.labels
    return classes_in(checkpoint.meta, count)


def any_classes_in(checkpoint: Checkpoint) -> Classes | None:
    """Return the classes of a checkpoint, named or counted; None where neither it nor its layout tells."""
    config = description_of(checkpoint)
    if config is not None:
        return config.labels
    found = recognize(checkpoint.state)
    return None if found is None else classes_in(checkpoint.meta, found.options["num_classes"])


def description_of(checkpoint: Checkpoint) -> PackageConfig | None:
    """Return what a checkpoint of ours says of its model, inside it or in the ``config.json`` beside it.

    Raises:
        UserError: a malformed description.
    """
    described = checkpoint.package
    if described is None:
        file, _ = split_part(Path(checkpoint.name))
        described = _described_beside(file)
    return None if described is None else parse_config(described, checkpoint.name)


def _described_beside(path: Path) -> Mapping[str, Any] | None:
    """Read the ``config.json`` of a package or run folder whose weights were read; None where there is none."""
    places = (path, path / "model.safetensors", path / "student" / "model.safetensors")
    file = next((place for place in places if place.is_file()), None)
    return None if file is None else config_beside(file)


def count_classes(checkpoint: Checkpoint) -> int:
    """Return the number of classes that a checkpoint's description or its layout shows.

    Raises:
        UserError: neither shows it.
    """
    if checkpoint.package is not None:
        return len(parse_config(checkpoint.package, checkpoint.name).classes)
    found = recognize(checkpoint.state)
    if found is None:
        raise UserError(f"{checkpoint.name}: say how many classes the model tells apart (num_classes).")
    count: int = found.options["num_classes"]
    return count
