"""Time that a training still takes, from its first steps on, validations included."""

from densekd.terminal import clock


class TimeLeft:
    """Estimate of the time left: mean time of a step and of a validation, times those that are to come.

    The first step chooses algorithms and fills caches: from the second one on it is left out.

    Args:
        steps: of the whole training.
        every: steps between validations; 0: none.
    """

    def __init__(self, steps: int, every: int) -> None:
        self.steps = steps
        self.every = every
        self.step = 0
        self.began: tuple[float, int] = (0.0, 0)
        self.rebased = False
        self.per_step: float | None = None
        # Seconds and number of validations, and the seconds among them since the reference.
        self.validated = (0.0, 0)
        self.paused = 0.0

    def begin(self, step: int, now: float) -> None:
        """Start the clock.

        Args:
            step: that the training goes on from.
            now: seconds of any clock.
        """
        self.step, self.began = step, (now, step)

    def stepped(self, step: int, now: float) -> None:
        """Count the steps until ``step``."""
        before, step_before = self.began
        self.step = step
        if step > step_before:
            self.per_step = (now - before - self.paused) / (step - step_before)
        # What follows is measured without the first step.
        if not self.rebased and self.per_step is not None:
            self.began, self.paused, self.rebased = (now, step), 0.0, True

    def validation(self, seconds: float) -> None:
        """Count a validation, which is no part of any step."""
        total, count = self.validated
        self.validated = (total + seconds, count + 1)
        self.paused += seconds

    @property
    def seconds(self) -> float | None:
        """Seconds left; None before the first step. Validations count once one has been timed."""
        if self.per_step is None:
            return None
        total, count = self.validated
        left = self.per_step * (self.steps - self.step)
        if count:
            left += total / count * self._validations
        return left

    @property
    def words(self) -> str:
        """What people read: ``1:05:00 left``, ``over 4:30 left`` before the first validation, or nothing."""
        if self.seconds is None:
            return ""
        over = "over " if self._validations and not self.validated[1] else ""
        return f"{over}{clock(self.seconds)} left"

    @property
    def _validations(self) -> int:
        """Validations to come."""
        if not self.every:
            return 0
        return self.steps // self.every - self.step // self.every
