"""Options of a benchmark, checked before anything is started."""

from collections.abc import Sequence
from dataclasses import dataclass

from densekd.errors import RecipeError, suggest
from densekd.export.engines import ENGINES

# Seconds that each model is measured for, where neither runs nor seconds are named.
SECONDS = 5.0
EAGER = "eager"


@dataclass(frozen=True)
class BenchmarkOptions:
    """How latency is measured.

    Args:
        engines: names of ``ENGINES``, or ``eager``; empty: models in eager torch, artefacts in their own.
        size: height and width; None: what the recipe evaluates at, or the artefact's.
        threads: of the engine; 0: its own choice.
        batch: pictures at once.
        runs: that are measured; None: as many as fit into ``seconds``.
        seconds: for each model, about.
        trust: modules that a package may name.
    """

    engines: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    threads: int = 0
    batch: int = 1
    runs: int | None = None
    seconds: float = SECONDS
    trust: Sequence[str] = ()

    def __post_init__(self) -> None:
        known = (EAGER, *ENGINES)
        for name in self.engines:
            if name not in known:
                raise RecipeError(f"--engine: unknown engine '{name}'. {suggest(name, known)}")
        if self.size is not None and min(self.size) < 1:
            raise RecipeError(f"--size: sides are at least 1 pixel, got {self.size[0]}x{self.size[1]}.")
        if self.threads < 0:
            raise RecipeError(f"--threads: at least 1, or 0 for the engine's own choice; got {self.threads}.")
        if self.batch < 1:
            raise RecipeError(f"--batch: at least 1, got {self.batch}.")
        if self.runs is not None and self.runs < 1:
            raise RecipeError(f"--runs: at least 1, got {self.runs}.")
        if not 0 < self.seconds < float("inf"):
            raise RecipeError(f"--seconds: more than 0, got {self.seconds:g}.")
