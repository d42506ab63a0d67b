"""Scores, tables and sample pictures of a finished training, sent to the loggers that take them.

Curves reach every logger during the training; this is what stands at its end. A tracker that fails
here costs nobody a training that is done: it becomes a warning.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from rich.console import Console

from densekd.report.pictures import KINDS
from densekd.run.folder import RunFolder
from densekd.run.loggers import TrackioLogger

_ROLES = ("teacher", "baseline", "baseline_seconds", "student")


@dataclass(frozen=True)
class Ending:
    """What is sent.

    Args:
        columns: of the table of scores; the first names the model.
        rows: one for each model.
        pictures: name -> PNG file.
        step: the last one.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    pictures: Mapping[str, Path]
    step: int


def send_results(
    loggers: Sequence[Logger], results: Mapping[str, Any], run: RunFolder, step: int, console: Console
) -> None:
    """Send the end of a training to every logger that takes tables or pictures.

    Args:
        loggers: of the recipe, also of others: those are left alone.
        results: the content of results.json.
        run: the folder with the sample pictures.
        step: the last one.
        console: for warnings.
    """
    ending = _ending(results, run.path / "predictions", step)
    for logger in loggers:
        for kind, send in _SENDERS.items():
            if not isinstance(logger, kind):
                continue
            try:
                send(logger, ending)
            except Exception as error:
                name = kind.__name__.removesuffix("Logger")
                line = f"warning: {name} did not take the scores and pictures: {error}; they are in {run.path}"
                console.print(line, style="yellow", highlight=False, markup=False, soft_wrap=True)


def _ending(results: Mapping[str, Any], pictures: Path, step: int) -> Ending:
    """Collect the numbers of each model and the pictures of each image."""
    scored = {role: results[role] for role in _ROLES if results.get(role)}
    keys: dict[str, None] = {}
    for scores in scored.values():
        keys |= {key: None for key, value in scores.items() if _is_number(value)}
    rows = [(role, *[_number(scores.get(key)) for key in keys]) for role, scores in scored.items()]
    found: dict[str, Path] = {}
    for kind in KINDS:
        for path in sorted(pictures.glob(f"*.{kind}.png")):
            found[f"{path.name.removesuffix(f'.{kind}.png')}/{kind}"] = path
    return Ending(("model", *keys), tuple(rows), dict(sorted(found.items())), step)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Any) -> float | None:
    """Return a score as a float; None where a model does not have it."""
    return float(value) if _is_number(value) else None


def _to_tensorboard(logger: Any, ending: Ending) -> None:
    import numpy as np
    from PIL import Image

    writer = logger.experiment
    lines = [ending.columns, tuple("---" for _ in ending.columns), *ending.rows]
    text = "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)
    writer.add_text("scores", text, ending.step)
    for name, path in ending.pictures.items():
        with Image.open(path, formats=("PNG",)) as picture:
            writer.add_image(f"predictions/{name}", np.asarray(picture.convert("RGB")), ending.step, dataformats="HWC")
    writer.flush()


def _to_wandb(logger: Any, ending: Ending) -> None:
    # Its files lie in the run folder; a step earlier than the last row would be dropped, so none is given.
    logger.log_table("scores", columns=list(ending.columns), data=[list(row) for row in ending.rows])
    for name, path in ending.pictures.items():
        logger.log_image(f"predictions/{name}", [str(path)])


def _to_mlflow(logger: Any, ending: Ending) -> None:
    columns = {name: [row[place] for row in ending.rows] for place, name in enumerate(ending.columns)}
    logger.experiment.log_table(logger.run_id, columns, "scores.json")
    for path in ending.pictures.values():
        logger.experiment.log_artifact(logger.run_id, str(path), "predictions")


def _to_trackio(logger: Any, ending: Ending) -> None:
    logger.log_ending(ending.columns, ending.rows, ending.pictures, ending.step)


_SENDERS: dict[type[Logger], Callable[[Any, Ending], None]] = {
    TensorBoardLogger: _to_tensorboard,
    WandbLogger: _to_wandb,
    MLFlowLogger: _to_mlflow,
    TrackioLogger: _to_trackio,
}
