"""Damaged files of a run folder: the result stays the same, or one line names the file."""

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from faults.outcome import Outcome, raw_text
from faults.tiny import PATIENCE, Training, make_training, same_result

Damage = Callable[[bytes, random.Random], bytes]


def flipped(content: bytes, draw: random.Random) -> bytes:
    """Return the content with one bit turned over."""
    if not content:
        return content
    place = draw.randrange(len(content))
    changed = content[place] ^ (1 << draw.randrange(8))
    return content[:place] + bytes([changed]) + content[place + 1 :]


DAMAGES: dict[str, Damage] = {
    "one bit": flipped,
    "half": lambda content, _: content[: len(content) // 2],
    "end missing": lambda content, draw: content[: -draw.randint(1, max(1, len(content) // 100))],
    "empty": lambda content, _: b"",
    "zeros": lambda content, _: bytes(len(content)),
    "text": lambda content, _: b"not what you think\n" * 20,
}
# Files that are read again: in which run they stand, and the command that reads them.
READ_BACK = {
    "checkpoints/last.ckpt": ("interrupted", "resume"),
    "checkpoints/previous.ckpt": ("interrupted", "resume"),
    "recipe.yaml": ("interrupted", "resume"),
    "environment.json": ("interrupted", "resume"),
    "metrics.csv": ("interrupted", "resume"),
    "../cache": ("interrupted", "resume"),
    "checkpoints/best.ckpt": ("whole", "resume"),
    "results.json": ("whole", "resume"),
    "student/model.safetensors": ("whole", "evaluate"),
    "student/config.json": ("whole", "evaluate"),
}


def damage_trials(folder: Path, tries: int, seed: int) -> Iterator[Outcome]:
    """Damage the files of an interrupted and of a finished run, one at a time; read each again.

    Args:
        folder: a new one.
        tries: how many damaged files.
        seed: of the places of damage.
    """
    draw = random.Random(seed)
    training = make_training(folder, "cache", steps=20)
    training.run(folder / "whole")
    _interrupt(training, folder / "interrupted")
    shutil.copytree(folder / "cache", folder / "sound cache")
    jobs = [(file, kind) for file in READ_BACK for kind in (*DAMAGES, "folder")]
    draw.shuffle(jobs)
    for index in range(tries):
        file, kind = jobs[index % len(jobs)]
        copy = folder / "damaged"
        shutil.copytree(folder / READ_BACK[file][0], copy)
        target = _one_of(copy / file, draw)
        _damage(target, kind, draw)
        yield _judge(training, folder / "whole", copy, target, f"{file}: {kind}")
        shutil.rmtree(copy)
        shutil.rmtree(folder / "cache")
        shutil.copytree(folder / "sound cache", folder / "cache")


def _interrupt(training: Training, folder: Path) -> None:
    """Train until a second checkpoint is there, then stop."""
    process = training.start(folder)
    while process.poll() is None and not (folder / "checkpoints" / "previous.ckpt").exists():
        pass
    process.terminate()
    process.communicate(timeout=PATIENCE)


def _one_of(path: Path, draw: random.Random) -> Path:
    """Return the file itself, or any file of a folder."""
    if not path.is_dir():
        return path
    return draw.choice(sorted(file for file in path.rglob("*") if file.is_file() and file.stat().st_size))


def _damage(path: Path, kind: str, draw: random.Random) -> None:
    """Damage a file in one way."""
    content = path.read_bytes()
    path.unlink()
    if kind == "folder":
        path.mkdir()
        return
    path.write_bytes(DAMAGES[kind](content, draw))


def _judge(training: Training, whole: Path, copy: Path, target: Path, trial: str) -> Outcome:
    """Read a damaged run again and say what came of it."""
    reader = READ_BACK[trial.partition(":")[0]][1]
    scores = copy.parent / "scores.json"
    scores.unlink(missing_ok=True)
    if reader == "resume":
        ended = training.run(copy, "--resume")
        status, text = ended.status, ended.text
    else:
        status, text = _evaluate(copy, scores)
    if status < 0:
        return Outcome(trial, "crash", text[-2000:])
    if raw_text(text):
        return Outcome(trial, "raw", text[-2000:])
    # The terminal folds long paths, so names are looked for without their line ends.
    named = target.name in text.replace("\n", "")
    if status != 0:
        return Outcome(trial, "message" if named else "nameless", "" if named else text[-2000:])
    exact = same_result(whole, copy) if reader == "resume" else _same_scores(whole, scores)
    if exact:
        return Outcome(trial, "exact")
    # What is lost for good, such as rows of metrics, is named while the training goes on.
    said = named and "damaged" in text
    return Outcome(trial, "said" if said else "silent", "" if said else text[-2000:])


def _evaluate(run: Path, scores: Path) -> tuple[int, str]:
    """Evaluate a run; return the status and what was printed."""
    command = [sys.executable, "-m", "densekd", "evaluate", str(run), "--json", str(scores)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    return done.returncode, done.stdout + done.stderr


def _same_scores(whole: Path, scores: Path) -> bool:
    """Return whether an evaluation found what the sound run's own training did, to the last digit."""
    trained = json.loads((whole / "results.json").read_text())["student"]
    found = json.loads(scores.read_text())
    return bool(found["miou"] == trained["miou"])
