"""Files beside an artefact: ``model.json``, all that a caller has to know, and ``infer.py``, which shows how."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from densekd.errors import UserError
from densekd.export.engines.contract import Conversion, Engine
from densekd.export.subject import Subject
from densekd.export.verdict import Verdict

DESCRIPTION = "model.json"
# Line of a template that the engine's own lines take the place of.
_ENGINE_LINE = "# ENGINE\n"


def describe(subject: Subject, engine: Engine, conversion: Conversion, verdict: Verdict) -> dict[str, Any]:
    """Return the content of ``model.json``.

    Args:
        subject: what was exported.
        engine: to which engine.
        conversion: what was written.
        verdict: what is known of it.
    """
    import densekd

    config = subject.opened.config
    batch = subject.input.batch
    content: dict[str, Any] = {
        "format": 1,
        "task": subject.task_name,
        "model": config.model,
        "classes": config.classes,
        "palette": config.palette,
        "ignore_index": config.ignore_index,
        "licenses": config.licenses,
        "input": subject.input.to_json(),
        "outputs": [output.to_json(batch) for output in subject.outputs],
        "output": subject.kind,
        "align_corners": subject.align_corners,
        "engine": {"name": engine.name, "title": engine.title, "version": engine.version()},
        "precision": verdict.precision,
        "artefact": conversion.artefact,
        "exporter": {"name": conversion.exporter, "reason": verdict.exporter_reason},
        "made_with": {"densekd": densekd.__version__, "torch": version("torch")},
        "verdict": verdict.to_json(),
    }
    if subject.task_name == "detection":
        content["categories"] = list(config.categories) or list(range(1, len(config.classes) + 1))
        decoding = subject.decoding
        content["decoding"] = None if decoding is None else decoding.to_json()
    return content


def write_description(folder: Path, content: dict[str, Any], engine: Engine) -> None:
    """Write ``model.json``, and ``infer.py`` where a picture can be predicted with the engine and numpy alone.

    Args:
        folder: of the artefact.
        content: of :func:`describe`.
        engine: for its lines.
    """
    (folder / DESCRIPTION).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    # Raw maps of a detector are for those who decode them; other bands than RGB are no pictures.
    if content["output"] == "raw" or content["input"]["channels"] != "RGB":
        return
    parts = files("densekd.export").joinpath("infer")
    template = parts.joinpath(f"{content['task']}.py.txt").read_text(encoding="utf-8")
    timing = parts.joinpath("timing.py.txt").read_text(encoding="utf-8")
    script = template.replace(_ENGINE_LINE, f"{engine.infer_lines.strip()}\n\n\n{timing}")
    (folder / "infer.py").write_text(script, encoding="utf-8")


@contextmanager
def temporary_folder(final: Path) -> Iterator[Path]:
    """Yield a new sibling of a folder, and remove what is left of it.

    Args:
        final: the folder that it may become, see :func:`move_over`.

    Raises:
        UserError: it cannot be written there, or the disk is full.
    """
    temporary = final.with_name(f".{final.name}.{os.getpid()}.tmp")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
    except OSError as error:
        raise UserError(f"{final}: cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def require_own(final: Path) -> None:
    """Check that a folder may be replaced: it is an earlier export, or nothing.

    Raises:
        UserError: something else stands there.
    """
    if final.is_symlink() or (final.exists() and not (final / DESCRIPTION).is_file()):
        raise UserError(f"{final}: is there already, and no export of densekd; choose another --out, or move it away.")


def move_over(temporary: Path, final: Path) -> None:
    """Put a folder in the place of another, which is gone only when the new one is there."""
    old = final.with_name(f".{final.name}.{os.getpid()}.old")
    if final.exists():
        final.rename(old)
    try:
        temporary.rename(final)
    except OSError:
        # What was there comes back.
        if old.exists():
            old.rename(final)
        raise
    shutil.rmtree(old, ignore_errors=True)


def size_on_disk(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
