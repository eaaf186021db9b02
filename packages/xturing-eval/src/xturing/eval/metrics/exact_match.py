"""Whether an answer is the reference, word for word."""

from collections.abc import Sequence

from xturing.eval.metrics import Need, pair, references, share
from xturing.eval.metrics.normalising import Normalise, normalised
from xturing.eval.questions import Outcome, Question


class ExactMatch:
    """The share of answers that equal the reference, once both are normalised."""

    name = "exact_match"
    needs: Need = "answers"
    figures = (share("exact_match"),)

    def __init__(
        self, questions: Sequence[Question], *, normalise: Normalise = "spaces"
    ) -> None:
        references(questions, self.name)
        self._normalise: Normalise = normalise

    def measure(self, outcome: Outcome) -> tuple[float, ...]:
        """Return whether the answer is right, and 1."""
        answer, reference = (
            normalised(text, self._normalise) for text in pair(outcome, self.name)
        )
        return float(answer == reference), 1.0
