"""How many of an answer's runs of words the reference has: BLEU of all rows as one."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from xturing.core.resampling import Numbers
from xturing.eval.metrics import Figure, Need, pair, ratio, references
from xturing.eval.questions import Outcome, Question

ORDER = 4
"""Words of the longest runs."""


def bleu(sums: Numbers) -> Numbers:
    """Return BLEU, from 0 to 100, of sums as `Bleu.measure` returns them for rows.

    Runs of a length of which none matches are smoothed as sacrebleu does by default:
    the first such length counts as half a match, the next as a quarter, and so on.
    """
    matches, runs = sums[..., :ORDER], sums[..., ORDER : 2 * ORDER]
    written, wanted, rows = (sums[..., 2 * ORDER + index] for index in range(3))
    smoothed = 0.5 ** np.cumsum(matches == 0, axis=-1)
    precisions = ratio(np.where(matches == 0, smoothed, matches), runs, 1.0)
    brevity = np.exp(np.minimum(1 - ratio(wanted, written, np.inf), 0))
    found = 100 * brevity * np.exp(np.log(precisions).mean(axis=-1))
    is_nothing = (matches == 0).all(axis=-1) | (runs == 0).any(axis=-1)
    return np.where(rows == 0, np.nan, np.where(is_nothing, 0.0, found))


class Bleu:
    """BLEU (Papineni et al. 2002) as sacrebleu computes it, of all rows as one text.

    `tokenize` names sacrebleu's way to find words: "13a" for languages that write
    spaces, "zh" for Chinese, "char" for others.
    """

    name = "bleu"
    needs: Need = "answers"
    figures = (Figure(name="bleu", of=bleu),)

    def __init__(
        self,
        questions: Sequence[Question],
        *,
        tokenize: Literal["13a", "intl", "zh", "char", "none"] = "13a",
    ) -> None:
        from sacrebleu.metrics.bleu import BLEU

        references(questions, self.name)
        # The order is for the score of the one row, which is not used; without it,
        # short rows are warned of.
        self._scorer = BLEU(tokenize=tokenize, effective_order=True)

    def measure(self, outcome: Outcome) -> tuple[float, ...]:
        """Return matches and runs by length, the words of both texts, and 1."""
        answer, reference = pair(outcome, self.name)
        row = self._scorer.sentence_score(answer, [reference])
        counted = (*row.counts, *row.totals, row.sys_len, row.ref_len, 1)
        return tuple(float(number) for number in counted)
