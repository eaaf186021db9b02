"""A run that ends at its deadline: how many steps are left, and how far it has come.

The number of steps is planned anew before every step, from how fast the last ones were.
What the learning rate follows is not that number, but a share of the way that is done:
each step adds an equal part of what is left of it. It never jumps or goes back, however
the plan changes, and reaches the end with the last step.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from typing import Any

from xturing.train.optimizers import decay
from xturing.train.planning.deadline import SAVING, VALIDATION, Deadline

FORGETTING = 0.85
"""What a step counts for the speed, as against the step after it."""
OVERTIME = 0.03
"""Most by which a run may exceed its time for the sake of a last step, as a share."""


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where a run is, for its checkpoint."""

    step: int = 0
    """Steps that were taken."""
    warmup_steps: int = 0
    done: float = 0.0
    """Share of the way after the warm-up."""
    real: float = 0.0
    """Seconds of the last steps, older ones counting less."""
    predicted: float = 0.0
    """Seconds that the cost model gave for them."""

    def as_dict(self) -> dict[str, Any]:
        """Return the position for a JSON file."""
        return asdict(self)


class Timetable:
    """How long each step of a run takes by the cost model, in seconds."""

    def __init__(self, epoch: Callable[[int], Sequence[float]]) -> None:
        self._epoch = epoch
        first = epoch(0)
        self._per_epoch = len(first)
        self._whole = sum(first)
        self._near: dict[int, list[float]] = {}

    def __getitem__(self, step: int) -> float:
        epoch, within = divmod(step, self._per_epoch)
        sums = self._sums(epoch)
        return sums[within + 1] - sums[within]

    def between(self, first: int, end: int) -> float:
        """Return the seconds of the steps from `first` up to, not including, `end`."""
        epoch, begin = divmod(first, self._per_epoch)
        sums = self._sums(epoch)
        within = min(end - epoch * self._per_epoch, self._per_epoch)
        # Epochs to come are in an order of their own, which evens out.
        later = max(end - (epoch + 1) * self._per_epoch, 0)
        return sums[within] - sums[begin] + self._whole * later / self._per_epoch

    def _sums(self, epoch: int) -> list[float]:
        if epoch not in self._near:
            self._near = {epoch: list(accumulate(self._epoch(epoch), initial=0.0))}
        return self._near[epoch]


class Pace:
    """How many steps a run still takes, and its learning rate."""

    def __init__(
        self,
        deadline: Deadline,
        costs: Timetable,
        *,
        scheduler: str,
        position: Position,
        every: dict[str, int] | None = None,
        most_steps: int | None = None,
    ) -> None:
        self.deadline = deadline
        self._costs = costs
        self._scheduler = scheduler
        self._every = every or {}
        self._most_steps = most_steps
        self._at = position
        self._done = {position.step: position.done}
        self._began: float | None = None
        self._left = 0

    @property
    def position(self) -> Position:
        """Where the run is."""
        return self._at

    @property
    def total(self) -> int:
        """Steps of the whole run, as planned now."""
        return self._at.step + self._left

    @property
    def slowness(self) -> float:
        """Seconds that steps really take, over those of the cost model."""
        # What was measured beforehand counts like one step.
        prior = self._costs[self._at.step]
        return (self._at.real + prior) / (self._at.predicted + prior)

    def steps_left(self, pending: float = 0.0) -> int:
        """Return how many steps fit into what is left of the time.

        `pending` are seconds that something takes before the next step.
        """
        step = self._at.step
        most = 2**40 if self._most_steps is None else self._most_steps - step
        seconds = self.deadline.left - self.deadline.ending - pending
        overtime = OVERTIME * self.deadline.limit
        next_step = self.slowness * self._costs[step]
        seconds += min(overtime, next_step / 2)

        def needed(count: int) -> float:
            return self._training_seconds(count)

        end = 1
        while end < most and needed(end) <= seconds:
            end *= 2
        fitting = bisect_right(range(1, min(end, most) + 1), seconds, key=needed)
        # A schedule that would not come to its end is brought there by a last step.
        is_unfinished = fitting == 0 and self._left > 1
        may_last = next_step <= seconds + overtime
        return 1 if most and is_unfinished and may_last else fitting

    def pauses_now(self) -> float:
        """Return the seconds of what is due between the last step and the next."""
        step = self._at.step
        return self._pauses(step - 1, step + 1) if step else 0.0

    def seconds_for(self, steps: int) -> float:
        """Return the seconds that so many steps take, and the ending of the run."""
        return self._training_seconds(steps) + self.deadline.ending

    def begin(self, left: int) -> None:
        """Go on with the plan that so many steps are left, this one included."""
        self._left = left
        self._began = self.deadline.training
        at = self._at
        share = (1 - at.done) / left if left and at.step >= at.warmup_steps else 0.0
        self._done[at.step + 1] = min(at.done + share, 1.0)

    def end(self) -> None:
        """Take down that the step was taken, and how long it took."""
        at = self._at
        if self._began is None:
            raise RuntimeError(f"step {at.step} was ended, but it had not begun")
        real = self.deadline.training - self._began
        self._at = replace(
            at,
            step=at.step + 1,
            done=self._done[at.step + 1],
            real=FORGETTING * at.real + real,
            predicted=FORGETTING * at.predicted + self._costs[at.step],
        )
        self._left -= 1
        self._began = None

    def factor(self, step: int) -> float:
        """Return the share of the highest learning rate for a step, counted from 0.

        Those that were begun are known, and the one after the last of them.
        """
        if step < self._at.warmup_steps:
            return (step + 1) / self._at.warmup_steps
        return decay(self._scheduler, self._done[step])

    def _training_seconds(self, count: int) -> float:
        step = self._at.step
        training = self.slowness * self._costs.between(step, step + count)
        return training + self._pauses(step, step + count)

    def _pauses(self, first: int, end: int) -> float:
        """Return the seconds of validations and checkpoints between two steps."""
        pauses = 0.0
        for name, every in self._every.items():
            # The last step's validation is a part of the ending.
            times = (end - 1) // every - first // every
            pauses += max(times, 0) * self.deadline.lasts(name)
        return pauses


def regular(eval_steps: int, save_steps: int) -> dict[str, int]:
    """Return what interrupts training, and after how many steps each time."""
    return {VALIDATION: eval_steps, SAVING: save_steps}
