"""Between a run's steps: is it over, and how many steps are left?"""

from contextlib import AbstractContextManager, nullcontext

import lightning

from xturing.train.planning.events import RunReplanned
from xturing.train.planning.pace import Pace
from xturing.train.recorder import Recorder

NO_END = -1
"""What Lightning is told where a pace ends the run."""
WORTH_TELLING = 0.05
"""Share of the steps by which a plan has to change for it to be told."""


class Pacing:
    """Ends a run at its last step: the plan's, or the last that fits its deadline."""

    def __init__(self, pace: Pace | None, steps: int, recorder: Recorder) -> None:
        self._pace = pace
        self._steps = steps
        self._recorder = recorder
        self._told: int | None = None

    def is_over(self, trainer: lightning.Trainer, step: int) -> bool:
        """Tell whether the step that has ended was the run's last, and see to it."""
        pace = self._pace
        if pace is None:
            return step == self._steps
        pace.end()
        if pace.steps_left(pace.pauses_now()):
            return False
        pace.begin(0)
        trainer.should_stop = True
        return True

    def plan(self, trainer: lightning.Trainer) -> None:
        """Decide anew how many steps are left, if time decides it."""
        pace = self._pace
        if pace is None:
            return
        left = pace.steps_left()
        pace.begin(left)
        if not left:
            trainer.should_stop = True
        self._tell(pace)

    def beside(self, name: str) -> AbstractContextManager[None]:
        """Take down that something other than training is done in the block."""
        return self._pace.deadline.beside(name) if self._pace else nullcontext()

    def _tell(self, pace: Pace) -> None:
        if self._told is None:
            self._told = pace.total
        if abs(pace.total - self._told) > WORTH_TELLING * self._told:
            self._told = pace.total
            self._recorder.add(
                RunReplanned(
                    step=pace.position.step, steps=pace.total, slowness=pace.slowness
                )
            )
