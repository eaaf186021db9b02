"""How many of an answer's runs of characters the reference has, and the other way."""

from collections.abc import Sequence

import numpy as np

from xturing.core.resampling import Numbers
from xturing.eval.metrics import Figure, Need, pair, ratio, references
from xturing.eval.questions import Outcome, Question

ORDER = 6
"""Characters of the longest runs."""
BETA = 2
"""How much more recall counts than precision."""


def chrf(sums: Numbers) -> Numbers:
    """Return chrF, from 0 to 100, of sums as `ChrF.measure` returns them for rows.

    Precision and recall are means over the lengths that both texts have runs of.
    """
    *shape, _ = sums.shape
    written, wanted, matches = np.moveaxis(
        sums[..., :-1].reshape(*shape, 3, ORDER), -2, 0
    )
    are_there = (written > 0) & (wanted > 0)
    lengths = are_there.sum(axis=-1)
    precision, recall = (
        ratio(ratio(matches, runs, 0.0).sum(axis=-1, where=are_there), lengths, 0.0)
        for runs in (written, wanted)
    )
    weight = BETA**2
    found = ratio(
        100 * (1 + weight) * precision * recall, weight * precision + recall, 0.0
    )
    return np.where(sums[..., -1] == 0, np.nan, found)


class ChrF:
    """ChrF (Popović 2015) as sacrebleu computes it, of all rows as one text.

    White space does not count. It suits languages that write no spaces between words.
    """

    name = "chrf"
    needs: Need = "answers"
    figures = (Figure(name="chrf", of=chrf),)

    def __init__(self, questions: Sequence[Question]) -> None:
        references(questions, self.name)

    def measure(self, outcome: Outcome) -> tuple[float, ...]:
        """Return the runs of both texts, and those they share, by length; and 1."""
        from sacrebleu.metrics.helpers import extract_all_char_ngrams

        answer, reference = (
            extract_all_char_ngrams(text, ORDER) for text in pair(outcome, self.name)
        )
        both = list(zip(answer, reference, strict=True))
        # Where the reference is too short for a run, those of the answer do not count.
        written = (mine.total() if right else 0 for mine, right in both)
        wanted = (right.total() for _, right in both)
        matches = ((mine & right).total() for mine, right in both)
        return tuple(map(float, (*written, *wanted, *matches, 1)))
