"""Progress of a sweep: one line for each trial that is worked on, what has ended, the time left."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table

from densekd.sweep.queue import Queue, State
from densekd.terminal import clock, is_quiet

_DASH = "\N{EN DASH}"
# Interrupted trials that a line names.
_SHOWN = 3
_WORDS = {
    "waiting": "waits",
    "interrupted": "was interrupted",
    "running": "is trained",
    "done": "done",
    "failed": "failed",
}


class Progress:
    """What goes on in a sweep, for people; anywhere but on a terminal a line for each change.

    Args:
        queue: of the sweep.
        console: for people.
    """

    def __init__(self, queue: Queue, console: Console) -> None:
        self.queue = queue
        self.console = console
        self.live: Live | None = None
        self.states: dict[str, State] = {}
        self.started = time.monotonic()
        # Optimizer steps of each trial; the first look's are not this command's work.
        self.steps: dict[str, tuple[int, int]] = {}
        self.before = 0

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the progress, for a while."""
        self._look()
        self.before = sum(done for done, _ in self.steps.values())
        if not self.console.is_terminal or is_quiet():
            yield
            self.update()
            return
        with Live(console=self.console, refresh_per_second=2, transient=True) as self.live:
            yield
            self.update()
        self.live = None

    def update(self) -> None:
        """Look at the queue, and show what is new."""
        for name, state in self._look().items():
            self._tell(name, state)
        if self.live is not None:
            self.live.update(self._table())

    def time_left(self) -> float | None:
        """Return the seconds that are left at the speed so far; None while that is not known."""
        done = sum(steps for steps, _ in self.steps.values())
        total = sum(steps for _, steps in self.steps.values())
        here = done - self.before
        if here <= 0:
            return None
        return (total - done) * (time.monotonic() - self.started) / here

    def _look(self) -> dict[str, State]:
        """Read state and steps of each trial; return what has changed."""
        changed: dict[str, State] = {}
        for entry in self.queue.entries:
            name, before = entry.name, self.states.get(entry.name)
            # What has ended stays so.
            if before in ("done", "failed"):
                continue
            state = self.queue.state(name)
            if state != before:
                changed[name] = self.states[name] = state
            self._count(name, state)
        return changed

    def _count(self, name: str, state: State) -> None:
        """Read how many steps a trial has done; a failed one has none left."""
        if name not in self.steps or state in ("running", "done"):
            self.steps[name] = self.queue.steps(name)
        if state == "failed":
            self.steps[name] = (self.steps[name][1],) * 2

    def _tell(self, name: str, state: State) -> None:
        """Print what became of a trial; on a terminal only its end, since its line shows the rest."""
        if state in ("waiting", "interrupted") or (state == "running" and self.live is not None):
            return
        line = f"{name}: {_WORDS[state]}"
        if state == "failed":
            line = f"{line}: {self.queue.failure(name)}"
        counted = sum(one in ("done", "failed") for one in self.states.values())
        self._print(f"[{counted}/{len(self.states)}{self._left()}] {line}")

    def _left(self) -> str:
        left = self.time_left()
        return "" if left is None else f", {clock(left)} left"

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for name, state in self.states.items():
            if state == "running":
                done, total = self.steps[name]
                table.add_row(name, f"step {done} of {total}")
        counted = sum(one in ("done", "failed") for one in self.states.values())
        table.add_row(f"{counted} of {len(self.states)} trials", self._left().removeprefix(", "))
        return table

    def _print(self, line: str) -> None:
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)


def status_table(queue: Queue) -> Table:
    """Return each trial with what becomes of it, for the terminal."""
    table = Table("trial", "state", "step", "", title_justify="left")
    for entry in queue.entries:
        state = queue.state(entry.name)
        done, total = queue.steps(entry.name)
        said = ""
        if state == "failed":
            said = queue.failure(entry.name) or ""
        if state == "running":
            holder = queue.claims.holder(entry.name) or {}
            said = f"process {holder.get('process', _DASH)} on {holder.get('host', _DASH)}"
        if state == "interrupted":
            said = "goes on from its last checkpoint"
        alone = queue.steps_alone(entry.name)
        # The student alone is trained before the trial itself begins.
        if done == 0 and alone and state in ("running", "interrupted"):
            said = f"its student alone: step {alone}; {said}"
        table.add_row(entry.name, state, f"{done} of {total}", said)
    return table


def summary(queue: Queue) -> str:
    """Return a line with how many trials are done, and where those stand that were interrupted."""
    states = {entry.name: queue.state(entry.name) for entry in queue.entries}
    counted = Counter(states.values())
    parts = [f"{counted[state]} {state}" for state in ("done", "failed", "running") if counted[state]]
    left = [name for name, state in states.items() if state == "interrupted"]
    if left:
        places = [f"{name} at step {' of '.join(map(str, queue.steps(name)))}" for name in left[:_SHOWN]]
        more = [f"{len(left) - _SHOWN} more"] if len(left) > _SHOWN else []
        parts.append(f"{len(left)} interrupted ({', '.join([*places, *more])})")
    if counted["waiting"]:
        parts.append(f"{counted['waiting']} waiting")
    return ", ".join(parts)
