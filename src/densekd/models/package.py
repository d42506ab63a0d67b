"""Student package: ``config.json`` and ``model.safetensors``, all that is needed to run a model."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from densekd.data.classes import Classes
from densekd.data.picture import RGB, Bands
from densekd.errors import RecipeError, UserError
from densekd.models.package_entries import wrong_entry
from densekd.models.sources import SOURCES
from densekd.parsers import load_json
from densekd.seal import require_unchanged, write_document
from densekd.seal.documents import KEY as CHECKSUMS
from densekd.seal.tensors import has_checksum, save_tensors


@dataclass(frozen=True)
class PackageConfig:
    """Model, classes and input of a package.

    Args:
        model: a name of ``MODELS``, ``source:name`` of ``SOURCES``, or ``package.module:Name``.
        options: the builder's arguments.
        classes: C names.
        palette: C RGB colors.
        ignore_index: label of void pixels.
        resize: (height, width) or (shorter side,) that images are brought to before the model,
            detectors: the limits of their shorter and longer side; None: their own size.
        categories: of a detector: the number of each class in results files (COCO's category id);
            none: 1..C.
        task: name of ``TASKS`` or ``package.module:Name``, what the model predicts.
        task_options: those of the task's options that predictions and scores depend on.
        bands: that are read of picture files, see :func:`densekd.data.picture.decode_bands`.
        licenses: what its owner said of the licenses of ``teacher`` and ``data``, a line each; none:
            nothing was said.
        quantization: entries of a :class:`densekd.quantize.QuantizationPlan`; None: the model is
            float.
    """

    model: str
    options: dict[str, Any]
    classes: list[str]
    palette: list[list[int]]
    ignore_index: int = 255
    resize: tuple[int, int] | tuple[int] | None = None
    categories: tuple[int, ...] = ()
    task: str = "segmentation"
    task_options: dict[str, Any] = field(default_factory=dict)
    bands: Bands = RGB
    licenses: dict[str, str] = field(default_factory=dict)
    quantization: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        # JSON and YAML know lists only.
        object.__setattr__(self, "categories", tuple(self.categories))
        if not isinstance(self.bands, int):
            object.__setattr__(self, "bands", tuple(self.bands))
        if self.resize is not None:
            object.__setattr__(self, "resize", tuple(self.resize))

    @property
    def labels(self) -> Classes:
        """Names, colors and void label in one."""
        palette = tuple((r, g, b) for r, g, b in self.palette)
        return Classes(tuple(self.classes), palette, self.ignore_index)

    def entries(self) -> dict[str, Any]:
        """Return what a file holds of it; of RGB, of float and of no license nothing is said, as in older packages."""
        content = asdict(self)
        if not self.licenses:
            del content["licenses"]
        if self.quantization is None:
            del content["quantization"]
        if self.bands == RGB:
            del content["bands"]
        return content


def config_of(model: str, options: Mapping[str, Any], classes: Classes, task: str) -> PackageConfig:
    """Describe a model by its name, options, classes and task."""
    palette = [list(color) for color in classes.palette]
    return PackageConfig(
        model=model,
        options=dict(options),
        classes=list(classes.names),
        palette=palette,
        ignore_index=classes.ignore_index,
        task=task,
    )


def save_package(model: nn.Module, config: PackageConfig, folder: Path) -> None:
    """Write ``config.json`` and ``model.safetensors`` into ``folder``, each atomically and with a checksum."""
    # Copies, because safetensors refuses tied weights, which share memory.
    plain = {"device": "cpu", "copy": True, "memory_format": torch.contiguous_format}
    state = {key: value.detach().to(**plain) for key, value in model.state_dict().items()}
    save_tensors(state, folder / "model.safetensors")
    write_document(folder / "config.json", {"format": 1, **config.entries()})


def read_config(folder: Path) -> Mapping[str, Any]:
    """Read ``config.json`` of a package; :func:`parse_config` checks it.

    Raises:
        UserError: a missing or malformed file, or one of another library.
    """
    path = folder / "config.json"
    try:
        content = load_json(path, small=True)
    except (OSError, ValueError) as error:
        raise _malformed(str(path), error) from error
    if isinstance(content, dict) and "model_type" in content and "model" not in content:
        raise UserError(f"{path}: the config of a transformers model; write hf:{folder} instead.")
    return require_unchanged(content, str(path))  # type: ignore[no-any-return]


def config_beside(weights: Path) -> Mapping[str, Any] | None:
    """Read the ``config.json`` beside the weights of a package; None beside any other file.

    Raises:
        UserError: it stands beside weights that densekd wrote, and is damaged.
    """
    path = weights.with_name("config.json")
    if weights.name != "model.safetensors" or not path.exists():
        return None
    # The same names are usual with other libraries, whose files are theirs to judge.
    try:
        content = load_json(path, small=True)
    except (OSError, ValueError) as error:
        if not has_checksum(weights):
            return None
        raise UserError(
            f"{path}: damaged ({error}), so that nobody knows which classes {weights} tells apart. Put back a copy of "
            "it, or take it away to use the weights alone."
        ) from error
    if not isinstance(content, dict):
        return None
    ours = CHECKSUMS in content or {"model", "options", "classes"} <= content.keys()
    return require_unchanged(content, str(path)) if ours else None


def parse_config(content: Any, where: str) -> PackageConfig:
    """Check what a file says of its model; unknown entries are left out.

    Args:
        content: entries of ``config.json``, of a checkpoint of ours or of the header of a
            ``.safetensors`` file.
        where: the file, for the message.

    Raises:
        UserError: an entry that is missing or of the wrong type.
    """
    try:
        if not isinstance(content, Mapping):
            raise TypeError(f"it is a {type(content).__name__}, not a mapping")
        # A newer version may have written more, an older one less.
        entries = {}
        for entry in fields(PackageConfig):
            required = entry.default is MISSING and entry.default_factory is MISSING
            if required or entry.name in content:
                entries[entry.name] = content[entry.name]
        wrong = wrong_entry(entries)
        if wrong is not None:
            raise TypeError(wrong)
        config = PackageConfig(**entries)
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise _malformed(where, error) from error
    return config


def require_packable(name: str, builder: Callable[..., Any], where: str) -> None:
    """Check that a package may name ``builder``: a file must not call any function it likes.

    Raises:
        RecipeError: ``package.module:Name`` that is no ``nn.Module`` class.
    """
    source, _, own = name.partition(":")
    # Names of the tables stand for known functions.
    if not own or source in SOURCES:
        return
    if not (isinstance(builder, type) and issubclass(builder, nn.Module)):
        raise RecipeError(f"{where}: '{name}' is not an nn.Module class, so its package could not be loaded again.")


def _malformed(where: str, error: Exception) -> UserError:
    reason = f"{type(error).__name__}: {error}"
    return UserError(f"{where}: not the config of a student package ({reason}). Put back a copy of it.")
