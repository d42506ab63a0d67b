"""Options of an export, read and checked before anything is started."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from densekd.errors import RecipeError, UserError, suggest
from densekd.export.engines import find_engine
from densekd.export.engines.contract import Engine
from densekd.export.spec import PRECISIONS, InputKind, Precision
from densekd.export.verify import ALLOWED_DROP

# Training pictures that int8 measures ranges on; layers that it leaves in float, before any search.
CALIBRATE = 300
KEEP_FLOAT = ("last",)

_SIZE = re.compile(r"(\d+)[xX×,](\d+)")


@dataclass(frozen=True)
class ExportOptions:
    """How a model is exported.

    Args:
        size: height and width of the input; None: what the recipe evaluates at.
        batch: pictures at once, or ``dynamic``.
        output: a name of :data:`densekd.export.spec.OUTPUTS`; None: the task's first.
        input: RGB in [0, 1], or the picture as it is decoded.
        data: data folder or recipe to verify on; None: the run's own.
        allow: points of the score that precisions below float32 may cost.
        calibrate: training pictures that int8 measures its ranges on.
        keep_float: layers that int8 leaves in float: names, patterns, ``last``, ``auto``; None: ``last``
            alone and, where that costs too much, ``auto``.
        keep: keep what was refused, as ``*.refused``.
        out: folder; None: ``export`` in the run or beside the model.
    """

    size: tuple[int, int] | None = None
    batch: int | Literal["dynamic"] = 1
    output: str | None = None
    input: InputKind = "float"
    data: Path | None = None
    allow: float = ALLOWED_DROP
    calibrate: int = CALIBRATE
    keep_float: tuple[str, ...] | None = None
    keep: bool = False
    out: Path | None = None

    def __post_init__(self) -> None:
        if self.size is not None and min(self.size) < 1:
            raise RecipeError(f"--size: sides are at least 1 pixel, got {self.size[0]}x{self.size[1]}.")
        if isinstance(self.batch, int) and self.batch < 1:
            raise RecipeError(f"--batch: at least 1, or 'dynamic'; got {self.batch}.")
        if self.input not in ("float", "uint8"):
            raise RecipeError(f"--input: unknown '{self.input}'. {suggest(self.input, ('float', 'uint8'))}")
        if self.calibrate < 1:
            raise RecipeError(f"--calibrate: at least 1 picture; got {self.calibrate}.")
        if not self.allow >= 0:
            raise RecipeError(f"--allow: points of the score, at least 0; got {self.allow:g}.")


def parse_size(text: str) -> tuple[int, int]:
    """Read ``HEIGHTxWIDTH``, or one number for both.

    Raises:
        RecipeError: something else.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is not None:
        return int(found[1]), int(found[2])
    if text.strip().isdigit():
        return int(text), int(text)
    raise RecipeError(f"--size: height x width, for instance 512x1024; got '{text}'.")


def parse_batch(text: str) -> int | Literal["dynamic"]:
    """Read a number of pictures, or ``dynamic``.

    Raises:
        RecipeError: something else.
    """
    if text == "dynamic":
        return "dynamic"
    if text.isdigit():
        return int(text)
    raise RecipeError(f"--batch: a number, or 'dynamic'; got '{text}'.")


def words(texts: str | Sequence[str]) -> list[str]:
    """Split names at commas, each name once."""
    if isinstance(texts, str):
        texts = [texts]
    found: dict[str, None] = {}
    for text in texts:
        found |= {word.strip(): None for word in text.split(",") if word.strip()}
    return list(found)


def wanted(to: Iterable[str], precisions: Iterable[str]) -> list[tuple[Engine, Precision]]:
    """Return the engines and precisions that are asked for.

    Raises:
        RecipeError: an unknown engine or precision, or one that an engine does not write.
        UserError: an engine that is not installed.
    """
    pairs: list[tuple[Engine, Precision]] = []
    engines = [find_engine(name) for name in to]
    if not engines:
        raise RecipeError("--to: name at least one engine, for instance onnx,openvino.")
    for engine in engines:
        for precision in precisions:
            pairs.append((engine, _precision(engine, precision)))
    if not pairs:
        raise RecipeError("--precision: name at least one, for instance fp32.")
    for engine in engines:
        missing = engine.missing()
        if missing is not None:
            raise UserError(f"Export to {engine.name} needs {missing}.")
    return pairs


def _precision(engine: Engine, name: str) -> Precision:
    for precision in PRECISIONS:
        if precision == name and precision in engine.precisions:
            return precision
    if name in PRECISIONS:
        raise RecipeError(
            f"--precision: {engine.title} is not written in {name}; it has {', '.join(engine.precisions)}."
        )
    raise RecipeError(f"--precision: unknown '{name}'. {suggest(name, PRECISIONS)}")
