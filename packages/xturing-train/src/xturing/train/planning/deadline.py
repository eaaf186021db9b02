"""The time that a run may take, and what it goes by for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

Clock = Callable[[], float]
"""Seconds since any moment; it never goes back."""
SAMPLES = "samples"
SAVING = "saving"
VALIDATION = "validation"


class Deadline:
    """The time that is left, and how long everything but training took so far."""

    def __init__(
        self, limit: float, *, spent: float = 0.0, clock: Clock | None = None
    ) -> None:
        self.limit = limit
        """Seconds from the first moment of the run to its last."""
        self._clock = clock or monotonic
        self._started = self._clock() - spent
        self._beside = 0.0
        self._lasted: dict[str, float] = {}

    @property
    def spent(self) -> float:
        """Seconds since the run began; those of before it was resumed count."""
        return self._clock() - self._started

    @property
    def left(self) -> float:
        """Seconds until the run has to be over."""
        return self.limit - self.spent

    @property
    def training(self) -> float:
        """Seconds that were not spent beside training: for differences of it."""
        return self.spent - self._beside

    def resume(self, spent: float) -> None:
        """Take up a run that had spent so many seconds already."""
        self._started -= spent

    @contextmanager
    def beside(self, name: str) -> Iterator[None]:
        """Take down that something other than training is done."""
        started = self._clock()
        try:
            yield
        finally:
            seconds = self._clock() - started
            self._beside += seconds
            self._lasted[name] = seconds

    def expect(self, name: str, seconds: float) -> None:
        """Say how long something will take, until it has been done once."""
        self._lasted.setdefault(name, seconds)

    def lasts(self, name: str) -> float:
        """Return how many seconds something takes: as many as the last time."""
        return self._lasted.get(name, 0.0)

    @property
    def ending(self) -> float:
        """Seconds from the last step on: all that was done before the first is again.

        Both ends of a run validate; what else there is, such as samples, is compared.
        """
        return sum(self._lasted.values())
