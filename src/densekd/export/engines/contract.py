"""Contract of an inference engine: convert a graph into files, and open these files in a process of their own.

An engine is a small final class with the attributes and methods below, and a row in ``ENGINES``; ``inside.py`` and
``outside.py`` have what engines of this environment, and of others, share.
What runs its artefact is a file of its own, ``sessions/run_NAME.py``, which imports the engine and numpy
alone: it is started by path with :attr:`Engine.python`, an interpreter that may belong to another
environment, and talks through pipes (``sessions/serve.py``). It defines one function::

    def open_session(folder: str, threads: int) -> Callable[[np.ndarray], list[np.ndarray]]

which loads the artefact in ``folder`` and returns the function that runs it: the input in the layout
that ``model.json`` names, the outputs in the order of its ``outputs``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from densekd.errors import UserError
from densekd.export.graph import Graph
from densekd.export.spec import Precision

SESSIONS = Path(__file__).parent.parent / "sessions"


class ConversionRefused(UserError):
    """An engine's converter refused a graph: the message is the reason."""


@contextmanager
def leaving_torch() -> Iterator[None]:
    """Make what torch cannot export the refusal of an engine.

    Raises:
        ConversionRefused: what a :class:`UserError` said.
    """
    try:
        yield
    except UserError as error:
        raise ConversionRefused(str(error)) from error


@dataclass(frozen=True)
class Conversion:
    """What was written, and by which way.

    Args:
        artefact: name of the file in the folder that is loaded.
        exporter: how the graph left torch: ``dynamo``, ``tracing``, ``torch.export``, ...
        quantizer: what made it int8: ``training``, ``ONNX Runtime``, ``NNCF``; empty where it is not.
        kept_float: layers of an int8 graph that stayed float.
        note: what a search for layers found.
    """

    artefact: str
    exporter: str
    quantizer: str = ""
    kept_float: tuple[str, ...] = ()
    note: str = ""


class Runnable(Protocol):
    """What runs in a process of its own: an engine, or eager torch."""

    @property
    def title(self) -> str:
        """Name that people know: ``ONNX Runtime``."""

    @property
    def session(self) -> Path:
        """The file in ``sessions/`` that runs it."""

    @property
    def python(self) -> Path:
        """The interpreter that runs it."""


class Engine(Protocol):
    """An inference engine."""

    @property
    def name(self) -> str:
        """Name on the command line and of the folder: ``onnx``."""

    @property
    def title(self) -> str:
        """Name that people know: ``ONNX Runtime``."""

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """Precisions that it can write."""

    @property
    def session(self) -> Path:
        """The file in ``sessions/`` that runs its artefact."""

    @property
    def python(self) -> Path:
        """The interpreter that runs it."""

    @property
    def infer_lines(self) -> str:
        """Lines of ``infer.py`` that load the artefact ``HERE / "..."`` and define ``run(array) -> list of arrays``."""

    def missing(self) -> str | None:
        """Return what is to be installed and by which command; None where nothing is missing."""

    def not_runnable(self) -> str | None:
        """Return why artefacts cannot be run on this system ("CoreML runs on macOS"); None where they can."""

    def version(self) -> str:
        """Return the engine's version."""

    def convert(self, graph: Graph, folder: Path, precision: Precision) -> Conversion:
        """Write the artefact into ``folder``, which exists and is empty.

        Raises:
            ConversionRefused: the converter cannot do this graph.
        """
