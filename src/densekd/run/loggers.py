"""Experiment loggers and callbacks: ``LOGGERS`` maps a name to what builds a logger.

Loggers get every loss that the Distiller logs, and the validation scores. TensorBoard and CSV files
need nothing else; Weights & Biases, MLflow and Trackio are extras of densekd.
"""

import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.loggers import (
    CSVLogger,
    Logger,
    MLFlowLogger,
    TensorBoardLogger,
    WandbLogger,
)
from lightning.pytorch.utilities import rank_zero_only

from densekd.doors import CALLBACK, LOGGER
from densekd.errors import RecipeError, UserError
from densekd.recipe import Recipe
from densekd.registry import construct, optional_import, resolve
from densekd.run.folder import RunFolder


@dataclass(frozen=True)
class Observers:
    """Who watches a training besides the run folder.

    Args:
        loggers: Lightning loggers.
        callbacks: Lightning callbacks.
    """

    loggers: tuple[Logger, ...] = ()
    callbacks: tuple[L.Callback, ...] = ()


NOBODY = Observers()


def build_observers(recipe: Recipe, run: RunFolder) -> Observers:
    """Build the loggers and callbacks that a recipe names under ``logging`` and ``callbacks``.

    A logger from elsewhere gets the run folder as ``save_dir``, if it has such an argument and the
    recipe does not set it.

    Raises:
        UserError: an unknown name or option, a library that is not installed, or neither a logger
            nor a callback.
    """
    loggers: list[Logger] = []
    for index, spec in enumerate(recipe.logging):
        # Ours ask for what they need; Lightning's own have save_dir.
        supplied: dict[str, Any] = {"folder": run.path, "run_name": recipe.name}
        if "save_dir" not in spec.options:
            supplied["save_dir"] = run.path
        factory = resolve(spec.name, LOGGERS, "logger", f"logging.{index}", LOGGER)
        built = construct(factory, spec.options, supplied, f"logging.{index}.options")
        if not isinstance(built, Logger):
            kind = type(built).__name__
            raise RecipeError(f"logging.{index}: {spec.name} built a {kind}, not a Lightning Logger.")
        loggers.append(built)
    callbacks: list[L.Callback] = []
    for index, spec in enumerate(recipe.callbacks):
        # There is no table of callbacks: each is named package.module:Name.
        factory = resolve(spec.name, {}, "callback", f"callbacks.{index}", CALLBACK)
        built = construct(factory, spec.options, {}, f"callbacks.{index}.options")
        if not isinstance(built, L.Callback):
            kind = type(built).__name__
            raise RecipeError(f"callbacks.{index}: {spec.name} built a {kind}, no Lightning Callback.")
        callbacks.append(built)
    return Observers(tuple(loggers), tuple(callbacks))


def tensorboard(folder: Path) -> TensorBoardLogger:
    """TensorBoard event files in the run folder's ``tensorboard/``.

    Args:
        folder: the run folder.

    Raises:
        UserError: TensorBoard is not installed.
    """
    # Lightning would look for it at the first record.
    try:
        importlib.import_module("torch.utils.tensorboard")
    except ImportError as error:
        raise UserError(
            f"logging: TensorBoard cannot be used ({error}): pip install tensorboard, or do without: logging=[csv]."
        ) from error
    return TensorBoardLogger(folder, name="tensorboard", version="")


def csv(folder: Path, flush_every: int = 100) -> CSVLogger:
    """CSV file ``csv/metrics.csv`` in the run folder.

    Args:
        folder: the run folder.
        flush_every: log calls between two writes.
    """
    return CSVLogger(folder, name="csv", version="", flush_logs_every_n_steps=flush_every)


def wandb(
    folder: Path,
    run_name: str,
    project: str = "densekd",
    entity: str | None = None,
    offline: bool = False,
) -> WandbLogger:
    """Weights & Biases run of the recipe's name.

    Args:
        folder: where files wait to be sent.
        run_name: of the run.
        project: to which it belongs.
        entity: user or team; None: the logged-in user's default.
        offline: keep everything in ``folder`` for ``wandb sync``.

    Raises:
        UserError: wandb is not installed.
    """
    optional_import("wandb", "wandb")
    return WandbLogger(name=run_name, save_dir=folder, project=project, entity=entity, offline=offline)


def mlflow(folder: Path, run_name: str, experiment: str = "densekd", tracking_uri: str | None = None) -> MLFlowLogger:
    """MLflow run of the recipe's name.

    Args:
        folder: keeps the records where there is no tracking server.
        run_name: of the run.
        experiment: to which it belongs.
        tracking_uri: of a server; None: files in ``mlflow/`` of the run folder.

    Raises:
        UserError: mlflow is not installed.
    """
    # It reports its use to its makers unless it is told not to, which a user's own setting may change.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    optional_import("mlflow", "mlflow")
    return MLFlowLogger(experiment, run_name, tracking_uri, save_dir=str(folder / "mlflow"))


def trackio(run_name: str, project: str = "densekd", space_id: str | None = None) -> "TrackioLogger":
    """Trackio run of the recipe's name, local or in a Space of the Hugging Face hub.

    Args:
        run_name: of the run.
        project: to which it belongs.
        space_id: ``owner/name`` of a Space; None: local.

    Raises:
        UserError: trackio is not installed.
    """
    optional_import("trackio", "trackio")
    return TrackioLogger(project, run_name, space_id)


LOGGERS: dict[str, Callable[..., Logger]] = {
    "tensorboard": tensorboard,
    "csv": csv,
    "wandb": wandb,
    "mlflow": mlflow,
    "trackio": trackio,
}


class TrackioLogger(Logger):
    """Lightning logger that writes to Trackio; the run begins with the first values.

    Args:
        project: to which the run belongs.
        run_name: of the run; one of this name is continued.
        space_id: ``owner/name`` of a Space of the Hugging Face hub, or None for local records.
    """

    def __init__(self, project: str, run_name: str, space_id: str | None = None) -> None:
        super().__init__()
        self._project = project
        self._run_name = run_name
        self._space_id = space_id
        self._config: dict[str, Any] = {}
        self._run: Any = None

    @property
    def name(self) -> str:
        """The project."""
        return self._project

    @property
    def version(self) -> str:
        """The run's name."""
        return self._run_name

    @rank_zero_only
    def log_hyperparams(self, params: Any, *unused: Any) -> None:
        """Keep settings for the beginning of the run."""
        self._config.update(params if isinstance(params, Mapping) else vars(params))

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Send values of one step."""
        self._begun().log(dict(metrics), step=step)

    @rank_zero_only
    def log_ending(
        self, columns: Sequence[str], rows: Sequence[Sequence[Any]], pictures: Mapping[str, Path], step: int
    ) -> None:
        """Send the table and the pictures of a finished training; the run is continued for it and ended again.

        Args:
            columns, rows: of the table.
            pictures: name -> PNG file.
            step: the last one.
        """
        module = optional_import("trackio", "trackio")
        table = module.Table(columns=list(columns), data=[list(row) for row in rows])
        sent = {f"predictions/{name}": module.Image(str(path), caption=name) for name, path in pictures.items()}
        self._begun().log({"scores": table, **sent}, step=step)
        self.finalize("success")

    def _begun(self) -> Any:
        """Return the run; not begun before there is something to log: a preflight leaves no run behind."""
        if self._run is None:
            module = optional_import("trackio", "trackio")
            self._run = module.init(
                project=self._project,
                name=self._run_name,
                space_id=self._space_id,
                config=self._config,
                resume="allow",
            )
        return self._run

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """End the run."""
        if self._run is not None:
            self._run.finish()
            self._run = None
