"""Whether the model ended its answers itself."""

from collections.abc import Sequence

from xturing.eval.metrics import Need, share
from xturing.eval.questions import Outcome, Question


class SelfStopping:
    """The share of questions whose first answer the model ended.

    The others were cut off at the limit on new tokens. No reference is needed.
    """

    name = "self_stopping"
    needs: Need = "answers"
    figures = (share("self_stopping"),)

    def __init__(self, questions: Sequence[Question]) -> None:
        pass

    def measure(self, outcome: Outcome) -> tuple[float, ...]:
        """Return whether the answer was ended, and 1."""
        return float(outcome.answers[0].stopped), 1.0
