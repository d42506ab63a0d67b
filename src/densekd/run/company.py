"""Several trainings in one process, which take turns: one stream of batches, one pass of equal teachers.

Each training runs unchanged in a thread of its own, and one thread computes at a time. A training gives its
turn up where it asks for its next batch, and the one that is furthest behind goes next: trainings that begin
together stay in step, and one that goes on from an earlier checkpoint catches up first. What is global in a
process (random generators, arithmetic) is put back as it was when a turn comes, so that none disturbs another.
"""

import copy
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from densekd.builders.teacher import Teacher, digest_of
from densekd.data.loaders import TrainingLoader
from densekd.distill.shared_passes import SharedPasses
from densekd.stopping import StopRequest, stop_signals

# Of a training that has not asked for a batch yet: it is built before any other one goes on.
_NOT_BEGUN = -1
_LOOK = 0.2

Job = Callable[["Member"], Any]


@dataclass(frozen=True)
class _Globals:
    """What is global in a process and may be changed by a training."""

    torch_state: torch.Tensor
    gpu_states: list[torch.Tensor]
    numpy_state: Any
    python_state: Any
    arithmetic: tuple[bool, str, bool]

    @staticmethod
    def now() -> "_Globals":
        """Return what holds now."""
        chosen = (
            torch.are_deterministic_algorithms_enabled(),
            torch.get_float32_matmul_precision(),
            torch.backends.cudnn.benchmark,
        )
        begun = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
        gpus = torch.cuda.get_rng_state_all() if begun else []
        return _Globals(torch.get_rng_state(), gpus, np.random.get_state(), random.getstate(), chosen)

    def restore(self) -> None:
        """Put it back."""
        torch.set_rng_state(self.torch_state)
        # Empty where no GPU had been asked for yet.
        torch.cuda.set_rng_state_all(self.gpu_states)
        np.random.set_state(self.numpy_state)
        random.setstate(self.python_state)
        # Torch imports its compiler here, which takes seconds.
        if torch.are_deterministic_algorithms_enabled() != self.arithmetic[0]:
            torch.use_deterministic_algorithms(self.arithmetic[0])
        torch.set_float32_matmul_precision(self.arithmetic[1])
        torch.backends.cudnn.benchmark = self.arithmetic[2]


class Company:
    """Trainings of one process that share what they have in common.

    Args:
        count: how many.
    """

    def __init__(self, count: int) -> None:
        self.stop = StopRequest()
        self.members = [Member(self, number) for number in range(count)]
        self._before = _Globals.now()
        self._turns = threading.Condition()
        # By member that is not done: the number of the batch that it asks for.
        self._asked = dict.fromkeys(range(count), _NOT_BEGUN)
        self._current: int | None = 0
        self._stream: Iterator[Any] | None = None
        self._batch: tuple[int, Any] = (_NOT_BEGUN, None)
        self._passes: dict[tuple[str, str], tuple[SharedPasses, Teacher]] = {}

    def run(self, jobs: list[Job]) -> list[Any]:
        """Run a job for each member, in threads that take turns; return what each returned or raised.

        A signal is told to all members, each of which stops at its next safe point.
        """
        outcomes: list[Any] = [None] * len(jobs)
        threads = []
        for member, job in zip(self.members, jobs, strict=True):
            words = (member, job, outcomes)
            # Who ends this process at once does not wait for them.
            threads.append(threading.Thread(target=self._run_member, args=words, daemon=True))
        with stop_signals(self._note):
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(_LOOK)
        self._before.restore()
        return outcomes

    def batch(self, number: int, loader: TrainingLoader) -> Any:
        """Return a batch of the training data, which is loaded once for all.

        Args:
            number: of the batch; it is never lower than at the call before.
            loader: of the member that asks; every member's would load the same.
        """
        if number != self._batch[0]:
            following = self._stream is not None and number == self._batch[0] + 1
            stream = self._stream if following else None
            # After an error the stream is over, and the next one who asks opens it anew.
            self._stream, self._batch = None, (_NOT_BEGUN, None)
            stream = stream or iter(loader.beginning_with(number))
            self._batch = (number, next(stream))
            self._stream = stream
        # Nobody sees what another one makes of it.
        return copy.deepcopy(self._batch[1])

    def share(self, teacher: Teacher) -> None:
        """Let a teacher share passes and memory with those of other members that have the same weights."""
        key = (digest_of(teacher.model), teacher.frozen.precision)
        if key not in self._passes:
            self._passes[key] = (SharedPasses(), teacher)
        passes, first = self._passes[key]
        teacher.frozen.share(passes)
        theirs = first.model.state_dict(keep_vars=True)
        for name, tensor in teacher.model.state_dict(keep_vars=True).items():
            tensor.data = theirs[name].data

    def wait(self, member: int, number: int) -> None:
        """Give the turn up, and wait until this member is the one that is furthest behind."""
        before = _Globals.now()
        with self._turns:
            self._asked[member] = number
            self._pass_on()
            self._turns.wait_for(lambda: self._current == member)
        before.restore()

    def _run_member(self, member: "Member", job: Job, outcomes: list[Any]) -> None:
        """Run a job in its thread, from its first turn to its end."""
        _MEMBER.set(member)
        with self._turns:
            self._turns.wait_for(lambda: self._current == member.number)
        # It begins as it would alone, whatever others have changed by now.
        self._before.restore()
        try:
            outcomes[member.number] = job(member)
        except BaseException as error:
            outcomes[member.number] = error
        finally:
            self._leave(member.number)

    def _leave(self, member: int) -> None:
        with self._turns:
            del self._asked[member]
            self._pass_on()
            if not self._asked:
                self._stream = None
                self._passes.clear()

    def _pass_on(self) -> None:
        """Choose who goes next: the lowest batch, and of equal ones the first member."""
        self._current = min(self._asked, key=lambda member: (self._asked[member], member), default=None)
        self._turns.notify_all()

    def _note(self, number: int) -> None:
        """Tell all members of a signal; the second one ends the process."""
        self.stop.note(number)
        for member in self.members:
            if not member.stop.number:
                member.stop.number = number


class Member:
    """One training of a company.

    Args:
        company: all of them.
        number: of this one, from 0.

    Attributes:
        stop: asks this training to stop.
    """

    def __init__(self, company: Company, number: int) -> None:
        self.company = company
        self.number = number
        self.stop = StopRequest()
        self._waited = 0.0

    def clock(self) -> float:
        """Return seconds of which those that passed in turns of others do not count."""
        return time.perf_counter() - self._waited

    def wait(self, number: int) -> None:
        """Wait for the turn in which this training gets a batch."""
        began = time.perf_counter()
        self.company.wait(self.number, number)
        self._waited += time.perf_counter() - began


class SharedLoader:
    """Training loader of a member: every batch comes from the stream of all.

    Args:
        own: the loader that the training would have alone; its state is this one's.
        member: whose it is.
    """

    def __init__(self, own: TrainingLoader, member: Member) -> None:
        self.own = own
        self.member = member

    def __len__(self) -> int:
        """Return the number of batches of the whole training."""
        return len(self.own)

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches behind those that were read, each in a turn of its own."""
        first = self.own.done
        for number in range(first, len(self.own)):
            self.member.wait(number)
            began = time.perf_counter()
            batch = self.member.company.batch(number, self.own)
            # Who asks first loads for all; the first batch, for which processes start, is not counted.
            if number > first:
                self.own.waiting.seconds += time.perf_counter() - began
            self.own.load_state_dict({"batches": number + 1})
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Return how many batches were read."""
        return self.own.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on behind the batches that were read."""
        self.own.load_state_dict(state)


def current_member() -> Member | None:
    """Return the member that this thread trains; None for a training by itself."""
    return _MEMBER.get()


_MEMBER: ContextVar[Member | None] = ContextVar("member", default=None)
