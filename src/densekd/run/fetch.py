"""Files of a recipe: what of its weights is there, what can be downloaded, what a person must bring."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from densekd.builders.models import UNTRAINED
from densekd.errors import UserError
from densekd.models.checkpoints.download import digest_of_file, fetch_to, located
from densekd.models.checkpoints.file import split_part
from densekd.models.locate import fetch_package, is_architecture, is_file_name
from densekd.models.open import open_model
from densekd.models.pretrained import from_hub, names_a_file
from densekd.models.published_files import find_published
from densekd.models.sources import SOURCES
from densekd.recipe import ModelSpec, Recipe

State = Literal["there", "fetched", "missing"]


class Source(NamedTuple):
    """What a recipe names as weights.

    Args:
        role: ``pretrained``, of a backbone, or ``checkpoint``, of a whole model.
        name: as the recipe writes it.
    """

    role: Literal["pretrained", "checkpoint"]
    name: str


@dataclass(frozen=True)
class Fetched:
    """What became of one of a recipe's sources.

    Args:
        source: as the recipe writes it.
        state: ``there`` already, ``fetched`` now, or ``missing``: a person must do something.
        message: what was found, where it lies, or what to do.
    """

    source: str
    state: State
    message: str


def sources_of(recipe: Recipe) -> list[Source]:
    """List what a recipe names as weights of student and teacher, each once."""
    specs: list[ModelSpec] = [recipe.student]
    if recipe.teacher is not None:
        specs.append(recipe.teacher)
    named: list[Source] = []
    for spec in specs:
        if spec.pretrained is not None:
            named.append(Source("pretrained", spec.pretrained))
        if spec.checkpoint is not None and spec.checkpoint != UNTRAINED:
            named.append(Source("checkpoint", spec.checkpoint))
    return list(dict.fromkeys(named))


def fetch(sources: Iterable[Source], to: Path, tell: Callable[[Fetched], None], carried: bool = False) -> list[Fetched]:
    """Bring every file that a recipe names.

    Args:
        sources: see :func:`sources_of`.
        to: folder that relative paths start from.
        tell: called as soon as it is known what became of a source.
        carried: models of other libraries are fetched as well, which otherwise come at the first use.

    Returns:
        what became of each.
    """
    results = []
    for source in sources:
        # One that fails does not keep the others from coming.
        try:
            result = _fetch_one(source, to, carried)
        except UserError as error:
            result = Fetched(source.name, "missing", str(error))
        tell(result)
        results.append(result)
    return results


def _fetch_one(source: Source, to: Path, carried: bool) -> Fetched:
    """Bring one source, whatever it is."""
    name = source.name
    if "://" in name:
        return Fetched(name, "fetched", str(located(name)))
    # Who names the teacher in a distillation checkpoint needs the whole file.
    path, _ = split_part(Path(name).expanduser())
    if (to / path).exists():
        return _check_file(name, to / path)
    if source.role == "pretrained" and not names_a_file(name):
        from_hub(name)
        return Fetched(name, "fetched", "kept by timm's hub")
    if source.role == "checkpoint" and is_architecture(name):
        if carried and name.partition(":")[0] in SOURCES:
            open_model(name)
            return Fetched(name, "fetched", "kept by its library's hub")
        return Fetched(name, "there", "comes with its library, at the first use")
    if source.role == "checkpoint" and not is_file_name(name, path):
        return Fetched(name, "fetched", str(fetch_package(name)))
    return _fetch_file(name, to / path)


def _check_file(source: str, path: Path) -> Fetched:
    """Compare what is there with what is published of its digest."""
    file = find_published(path)
    if path.is_dir() or file is None or not file.sha256:
        return Fetched(source, "there", str(path))
    found = digest_of_file(path)
    if found.startswith(file.sha256):
        return Fetched(source, "there", f"{path}, SHA-256 {found[:8]}... as its name says")
    return Fetched(
        source,
        "missing",
        f"{path}: is another file than {file.url}, or damaged: its SHA-256 is {found[:16]}..., not "
        f"{file.sha256}... Remove it and fetch again.",
    )


def _fetch_file(source: str, path: Path) -> Fetched:
    """Bring a file of the table; of others say what they are."""
    file = find_published(path)
    if file is None and not path.suffix:
        return Fetched(source, "missing", f"{path}: is no published file; train it first, if it is a run of yours.")
    if file is None:
        return Fetched(source, "missing", f"{path}: is no published file that densekd knows; put it there.")
    if not file.url:
        return Fetched(source, "missing", f"{path}: {file.what}. Download it from {file.page} and put it there.")
    found = fetch_to(path, file.url, file.sha256)
    checked = "as its name says" if file.sha256 else "which nobody publishes; keep it to compare"
    return Fetched(source, "fetched", f"{path}, SHA-256 {found}, {checked}")
