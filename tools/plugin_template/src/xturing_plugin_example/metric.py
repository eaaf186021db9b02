"""A metric: what it measures of a row is summed up, and its figures are of the sums."""

from collections.abc import Sequence

from xturing.eval.metrics import Need, average, pair, references
from xturing.eval.questions import Outcome, Question


class Example:
    """The mean length of answers over that of their references, in words."""

    name = "example"
    needs: Need = "answers"
    figures = (average("example"),)

    def __init__(self, questions: Sequence[Question]) -> None:
        references(questions, self.name)

    def measure(self, outcome: Outcome) -> tuple[float, ...]:
        """Return the ratio of a row, and 1."""
        answer, reference = (len(text.split()) for text in pair(outcome, self.name))
        return answer / max(reference, 1), 1.0
