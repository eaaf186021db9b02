"""The words that an answer shares with the reference."""

from collections import Counter
from collections.abc import Sequence

from xturing.eval.metrics import Need, average, pair, references
from xturing.eval.metrics.normalising import squad
from xturing.eval.questions import Outcome, Question


class TokenF1:
    """The mean F1 of answers' words against those of the reference.

    As the evaluation of SQuAD has it (Rajpurkar et al. 2016, arXiv 1606.05250, section
    6.1): the order of words, case, punctuation and articles do not count.
    """

    name = "token_f1"
    needs: Need = "answers"
    figures = (average("token_f1"),)

    def __init__(self, questions: Sequence[Question]) -> None:
        references(questions, self.name)

    def measure(self, outcome: Outcome) -> tuple[float, ...]:
        """Return the F1, and 1."""
        answer, reference = (squad(text).split() for text in pair(outcome, self.name))
        return _f1(answer, reference), 1.0


def _f1(answer: list[str], reference: list[str]) -> float:
    """Return the F1 of two lists of words: 1 where both are empty."""
    if not answer and not reference:
        return 1.0
    shared = (Counter(answer) & Counter(reference)).total()
    return 2 * shared / (len(answer) + len(reference))
