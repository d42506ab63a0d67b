"""Engines in environments of their own: their converters and versions, asked for by a subprocess."""

import functools
import json
import os
import subprocess
from pathlib import Path

import numpy as np

from densekd.errors import UserError
from densekd.export.engines.contract import Conversion, ConversionRefused, Engine
from densekd.export.environments import Environment
from densekd.export.graph import Graph

CONVERTERS = Path(__file__).parent.parent / "converters"
# Seconds that a converter may take.
_LIMIT = 1800
# Characters of what a converter printed that a message repeats.
_SHOWN = 300


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
    last = said[-1][:_SHOWN] if said else "it says nothing"
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


def convert_program(engine: Engine, graph: Graph, folder: Path, artefact: str) -> Conversion:
    """Write an artefact from a program of ``torch.export``, by ``converters/convert_NAME.py``.

    Args:
        engine: for its name, its title and its interpreter.
        graph: what is converted.
        folder: where the artefact goes.
        artefact: name of its file.

    Raises:
        ConversionRefused: a batch of any size, or a graph that torch or the converter cannot do.
    """
    if graph.input.batch == "dynamic":
        raise ConversionRefused(f"{engine.title} is converted for a fixed number of pictures: --batch 1.")
    try:
        program = graph.program()
    except UserError as error:
        raise ConversionRefused(str(error)) from error
    example = graph.scratch / "example.npy"
    np.save(example, graph.example.numpy())
    converter = CONVERTERS / f"convert_{engine.name}.py"
    target = folder / artefact
    paths = [str(path.resolve()) for path in (converter, program.path, example, target)]
    run_converter(engine.title, [str(engine.python), *paths], graph.scratch, target)
    return Conversion(artefact, program.exporter)
