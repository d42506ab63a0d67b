"""Prediction of pictures and videos; what cannot be read is named at the end."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from densekd.errors import UserError
from densekd.parsers import load_json
from densekd.run.predict_video import predict_video, require_video
from densekd.run.prediction_inputs import Inputs
from densekd.seal import read_document, write_document
from densekd.tasks.protocol import Predictor
from densekd.tasks.records import NAME

SETTINGS = "predicted-by.json"


def predict_inputs(predictor: Predictor, inputs: Inputs, out: Path, resume: bool = False, workers: int = 0) -> str:
    """Predict everything that can be read; return how much was done and where it is.

    Args:
        predictor: of the model.
        inputs: pictures and videos.
        out: the folder to fill; videos come into ``videos/``.
        resume: leave out pictures and videos that an earlier prediction has done.
        workers: threads that read and write pictures while the model runs.

    Raises:
        UserError: some could not be read; all others were predicted.
    """
    done: list[str] = []
    odd: list[str] = []
    if inputs.videos:
        require_video()
    for name, path in inputs.videos.items():
        written = out / "videos" / f"{name}.mp4"
        if resume and written.is_file():
            done.append(f"{written}: there already")
            continue
        try:
            done.append(f"{predict_video(path, written, predictor.drawn)} frames: {written}")
        except UserError as error:
            odd.append(str(error))
    if inputs.folder is not None:
        try:
            # Predictors of other packages may not know how to go on, or know no threads.
            options: dict[str, Any] = {"resume": True} if resume else {}
            if workers:
                options["workers"] = workers
            count = predictor.predict_folder(inputs.folder, out, **options)
            done.append(f"{count} images: {', '.join(str(out / name) for name in predictor.writes)}")
        except UserError as error:
            odd.append(str(error))
    if odd:
        raise UserError("\n".join([*odd, *done]))
    return "\n".join(done)


def written_by(predictor: Predictor, inputs: Inputs) -> tuple[str, ...]:
    """Return the names that a prediction writes into its folder."""
    names: tuple[str, ...] = ()
    if inputs.folder is not None:
        names = (*predictor.writes, NAME)
    return (*names, "videos") if inputs.videos else names


def require_own_folder(out: Path, names: Sequence[str], force: bool) -> None:
    """Check that a prediction replaces nothing but an earlier one: ``labels`` may be somebody's data.

    Args:
        out: the folder of the prediction.
        names: of what is written into it; none where the pictures themselves are, as for a submission.
        force: replace whatever is there.

    Raises:
        UserError: something of these names that no prediction left.
    """
    if force or not out.is_dir() or (names and _read_settings(out / SETTINGS)):
        return
    there = [out / name for name in (*names, SETTINGS) if _holds_something(out / name)]
    if not names:
        there += list(out.glob("*.png"))[:1]
    if there:
        raise UserError(
            f"{there[0]}: is there already, and no prediction of densekd says that it made it; choose another --out, "
            "or replace it with --force."
        )


def _holds_something(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.exists()


def _read_settings(path: Path) -> dict[str, Any]:
    """Read what an earlier prediction noted; empty where none did."""
    try:
        settings = load_json(path)
    except (OSError, ValueError):
        return {}
    is_ours = isinstance(settings, dict) and {"model", "options"} <= settings.keys()
    return settings if is_ours else {}


def require_same_settings(out: Path, model: Path, changes: Sequence[str], resume: bool) -> None:
    """Note what predicts into a folder; to go on there, it must be what began.

    Args:
        out: the folder of the prediction.
        model: a weights file that was trained further is another model, too.
        changes: of its evaluation, ``key=value``.
        resume: whether an earlier prediction is to go on.

    Raises:
        UserError: another model or other options predicted into the folder.
    """
    path = out / SETTINGS
    settings = {"model": _state(model), "options": sorted(changes)}
    if resume and path.is_file():
        before = read_document(path, "Or leave out --resume to predict anew.")
        if before != settings:
            what = "another model or with other options"
            raise UserError(f"{out}: was predicted by {what}. Leave out --resume, or choose another folder with --out.")
    write_document(path, settings, indent=None)


def _state(model: Path) -> list[str]:
    """List path, bytes and time of change of a model's file, or of the weights directly in its folders."""
    files = [model] if model.is_file() else sorted(model.glob("**/*.safetensors"))
    states = [str(model.absolute())]
    for file in files:
        known = file.stat()
        states.append(f"{file.name} {known.st_size} {known.st_mtime_ns}")
    return states
