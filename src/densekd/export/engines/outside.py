"""Engines in environments of their own: their converters and versions, asked for by a subprocess."""

import functools
import json
import os
import re
import subprocess
from pathlib import Path
from typing import ClassVar

import numpy as np

from densekd.export.engines.contract import Conversion, ConversionRefused, leaving_torch
from densekd.export.environments import ENVIRONMENTS, Environment
from densekd.export.graph import Graph
from densekd.export.spec import Precision

CONVERTERS = Path(__file__).parent.parent / "converters"
# Seconds that a converter may take.
_LIMIT = 1800
# Characters of what a converter printed that a message repeats.
_SHOWN = 300
# How Python's last line of a traceback begins: package.module.SomeError: reason.
_ERROR = re.compile(r"(\w+\.)*\w*(Error|Exception)\b")


def run_converter(title: str, command: list[str], folder: Path, wanted: Path) -> None:
    """Run a converter; a crash, an error or no file is a refusal with its last line.

    Args:
        title: of the engine.
        command: program and arguments.
        folder: that it runs in.
        wanted: the file or folder that it writes.

    Raises:
        ConversionRefused: it did not write the file.
    """
    # Programs that a converter calls (flatc) lie beside its interpreter.
    paths = os.pathsep.join([str(Path(command[0]).parent), os.environ.get("PATH", "")])
    environment = os.environ | {"PATH": paths}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ConversionRefused(f"the converter of {title} took longer than {_LIMIT} s.") from error
    except OSError as error:
        raise ConversionRefused(f"the converter of {title} does not start: {error.strerror or error}.") from error
    if done.returncode == 0 and wanted.exists():
        return
    lines = (done.stdout + b"\n" + done.stderr).decode("utf-8", "replace").split("\n")
    said = [line.strip() for line in lines if line.strip()]
    # The last error, if lines of advice stand behind it; else the last line.
    errors = [line for line in said if _ERROR.match(line)]
    last = (errors or said or ["it says nothing"])[-1][:_SHOWN]
    if done.returncode < 0:
        raise ConversionRefused(f"the converter of {title} crashed (signal {-done.returncode}): {last}")
    raise ConversionRefused(f"the converter of {title} gave up: {last}")


@functools.cache
def version_in(environment: Environment, package: str) -> str:
    """Return the version of a package in an environment; empty where it does not say."""
    code = f"import json, importlib.metadata as m; print(json.dumps(m.version({package!r})))"
    if not environment.ready:
        return ""
    done = subprocess.run(
        [str(environment.python), "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    return str(json.loads(done.stdout)) if done.returncode == 0 else ""


class OutsideEngine:
    """What engines share that live in an environment of their own; see :class:`densekd.export.engines.contract.Engine`.

    Attributes:
        package: the distribution in that environment whose version is the engine's.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32",)
    package: ClassVar[str]

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return ENVIRONMENTS[self.name].python

    def missing(self) -> str | None:
        """Return the command that makes its environment."""
        return ENVIRONMENTS[self.name].missing()

    def not_runnable(self) -> str | None:
        """Return None: it runs wherever it installs."""
        return None

    def version(self) -> str:
        """Return the version of the engine."""
        return version_in(ENVIRONMENTS[self.name], self.package)


class ProgramEngine(OutsideEngine):
    """An engine that is converted from a program of ``torch.export`` by ``converters/convert_NAME.py``.

    Attributes:
        artefact: name of the file that its converter writes.
        plain: whether kernels become their formulas in plain operations before.
    """

    artefact: ClassVar[str]
    plain: ClassVar[bool] = False

    def convert(self, graph: Graph, folder: Path, precision: Precision) -> Conversion:
        """Write the artefact.

        Raises:
            ConversionRefused: a batch of any size, or a graph that torch or the converter cannot do.
        """
        if graph.input.batch == "dynamic":
            raise ConversionRefused(f"{self.title} is converted for a fixed number of pictures: --batch 1.")
        with leaving_torch():
            program = graph.plain_program() if self.plain else graph.program()
        example = graph.scratch / "example.npy"
        np.save(example, graph.example.numpy())
        converter = CONVERTERS / f"convert_{self.name}.py"
        target = folder / self.artefact
        paths = [str(path.resolve()) for path in (converter, program.path, example, target)]
        run_converter(self.title, [str(self.python), *paths], graph.scratch, target)
        return Conversion(self.artefact, program.exporter)
