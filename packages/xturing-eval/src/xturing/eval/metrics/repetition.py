"""How often an answer says again what it has said."""

from collections.abc import Sequence
from functools import partial

from xturing.eval.metrics import Figure, Need, over
from xturing.eval.questions import Outcome, Question

LENGTHS = 1, 2, 3


class Repetition:
    """Distinct runs of one, two and three words over all such runs (distinct-n).

    After Li et al. 2016 (arXiv 1510.03055), but within each answer: a run that two
    answers have counts as distinct in both, so that rows can be added up. Words are
    what white space separates. No reference is needed.
    """

    name = "repetition"
    needs: Need = "answers"
    figures = tuple(
        Figure(
            name=f"distinct{length}",
            of=partial(over, part=2 * index, whole=2 * index + 1),
        )
        for index, length in enumerate(LENGTHS)
    )

    def __init__(self, questions: Sequence[Question]) -> None:
        pass

    def measure(self, outcome: Outcome) -> tuple[float, ...]:
        """Return distinct runs and all runs, for each length."""
        words = outcome.answer.split()
        counted = []
        for length in LENGTHS:
            runs = list(zip(*(words[start:] for start in range(length)), strict=False))
            counted += float(len(set(runs))), float(len(runs))
        return tuple(counted)
