"""Provenance of a run: the data, teacher, code and processes that it began with, compared when it is resumed."""

import gzip
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

import densekd
from densekd.atomic import atomic
from densekd.builders.build import Built
from densekd.data.fingerprint import Fingerprint, compare, fingerprint, from_plain, to_plain
from densekd.errors import UserError, see
from densekd.parsers import inflate, load_json, parse_json, read_bytes
from densekd.run.folder import RunFolder, is_first_process, record
from densekd.run.launch import Launch

# Of what is stored; another number is another layout, which is not compared.
_FORMAT = 1
_SPLITS = ("train", "val")


@dataclass(frozen=True)
class Provenance:
    """What a training depends on besides its recipe.

    Args:
        data: fingerprint of each split.
        teacher: digest of the teacher and its weights; None without one.
        code: version of densekd, and the commit where it is a checkout.
        changes: what was accepted to be different when the run was resumed.
    """

    data: Mapping[str, Fingerprint]
    teacher: str | None
    code: str
    changes: tuple[str, ...] = ()

    def write(self, run: RunFolder) -> None:
        """Record it in the run folder: digests in environment.json, each file in ``inputs.json.gz``.

        A finished run keeps what it was trained on.
        """
        if not is_first_process() or run.results.is_file():
            return
        data = {split: to_plain(one) for split, one in self.data.items()}
        content = {"format": _FORMAT, "data": data, "teacher": self.teacher, "code": self.code}
        # No time in it: the same inputs give the same file.
        with atomic(inputs_of(run)) as temporary:
            temporary.write_bytes(gzip.compress(json.dumps(content).encode(), 1, mtime=0))
        digests = {split: {"images": len(one.prints), "digest": one.digest} for split, one in self.data.items()}
        facts: dict[str, Any] = {"inputs": {"data": digests, "teacher": self.teacher, "code": self.code}}
        if self.changes:
            entry = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "what": list(self.changes)}
            facts["accepted_changes"] = [*_environment(run).get("accepted_changes", []), entry]
        record(run, facts)


def inputs_of(run: RunFolder) -> Path:
    """Return the file of what a run was trained on."""
    return run.path / "inputs.json.gz"


def provenance(built: Built) -> Provenance:
    """Look at the data, teacher and code of a training that begins; nothing in other processes than the first."""
    if not is_first_process():
        return Provenance({}, None, "")
    data = {"train": fingerprint(built.training.files), "val": fingerprint(built.validation)}
    teacher = None if built.teacher is None else built.teacher.digest
    return Provenance(data, teacher, _code())


def resumed(now: Provenance, run: RunFolder, launch: Launch, accept: bool, console: Console) -> Provenance:
    """Compare what a run is resumed with and what it began with.

    Args:
        now: what it would go on with.
        run: its folder.
        launch: where it would go on.
        accept: go on where something differs.
        console: for what is accepted, and for what is different without harm.

    Returns:
        What it goes on with, the accepted changes in it.

    Raises:
        UserError: something differs, all of it is named; of a finished run also where that is accepted.
    """
    # Other processes do what the first one decides; a run without any state has nothing to compare.
    if not is_first_process() or not run.recipe.is_file():
        return now
    finished = run.results.is_file()
    found, remarks = _processes(run, launch, finished), []
    before = _read(run)
    if isinstance(before, str):
        remarks.append(f"{before}; what has changed since it began cannot be known")
    else:
        changes, more = _inputs(before, now)
        found, remarks = [*changes, *found], more
    for remark in remarks:
        _say(f"{run.path}: {remark}", console)
    if not found:
        return now
    listed = "; ".join(found)
    if finished:
        raise UserError(
            f"{run.path} is finished, and what it was trained on has changed: {listed}. Its results stay as they are. "
            "To score its student on other data: densekd evaluate. To train it for longer: student.checkpoint="
            f"{run.path} and another --run."
        )
    if not accept:
        raise UserError(
            f"{run.path} was begun with something else: {listed}. Bring it back, go on all the same with "
            f"--accept-changes (densekd.train: accept_changes=True), or begin anew with --overwrite. {see('mismatch')}"
        )
    _say(f"{run.path}: accepted changes: {listed}", console)
    return Provenance(now.data, now.teacher, now.code, tuple(found))


def _inputs(before: Provenance, now: Provenance) -> tuple[list[str], list[str]]:
    """Return what of data and teacher differs, and what else is to be said."""
    found, remarks = [], []
    for split in _SPLITS:
        difference = compare(before.data[split], now.data[split])
        if difference.found:
            found.append(f"data.{split}: {', '.join(difference.found)}")
        if difference.remark is not None:
            remarks.append(f"data.{split}: {difference.remark}")
    if before.teacher != now.teacher:
        found.append(f"teacher: it has other weights (digest {now.teacher}, was {before.teacher})")
    # Another version reads all that this one does, or refuses it by its format.
    if before.code != now.code:
        remarks.append(f"begun with densekd {before.code}, goes on with {now.code}; the result may differ slightly")
    return found, remarks


def _processes(run: RunFolder, launch: Launch, finished: bool) -> list[str]:
    """Say that a batch would be shared by another number of processes; a finished run has no batch left."""
    before = _environment(run).get("processes")
    if before is None or finished:
        return []
    now = launch.processes()
    return [] if now == before else [f"processes: {now}, was {before}"]


def _read(run: RunFolder) -> Provenance | str:
    """Return what a run began with, or why that is not known."""
    path = inputs_of(run)
    if not path.is_file():
        return "a run of an earlier version, without a record of its data and teacher"
    try:
        content = parse_json(inflate(read_bytes(path)))
        if content["format"] != _FORMAT:
            return f"{path.name} is of another version of densekd"
        data = {split: from_plain(content["data"][split]) for split in _SPLITS}
        return Provenance(data, content["teacher"], str(content["code"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{path.name} is damaged ({type(error).__name__})"


def _environment(run: RunFolder) -> dict[str, Any]:
    """Return the content of environment.json; nothing where it is missing or damaged."""
    try:
        content = load_json(run.environment)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _code() -> str:
    """Return the version of densekd, with the commit of a checkout."""
    folder = Path(densekd.__file__).parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        # An installed package may lie in a checkout of something else, which does not track it.
        git("ls-files", "--error-unmatch", "__init__.py")
        commit = git("rev-parse", "--short=12", "HEAD")
    except (OSError, subprocess.SubprocessError):
        return densekd.__version__
    return f"{densekd.__version__} ({commit})"


def _say(line: str, console: Console) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)
