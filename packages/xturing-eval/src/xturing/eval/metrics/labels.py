"""Answers that are one of a few labels, and which label is taken for which."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xturing.core.errors import DataError
from xturing.core.resampling import Numbers
from xturing.eval.metrics import Figure, Need, pair, ratio, references, share
from xturing.eval.metrics.normalising import Normalise, normalised
from xturing.eval.questions import Outcome, Question

MOST_LABELS = 50


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """How often an answer was each label, for the questions of each label."""

    labels: tuple[str, ...]
    """As the references first spell them, sorted."""
    counts: Numbers
    """Of shape (…, labels, labels + 1): a row is a reference, a column an answer, the
    last one answers that are no label."""


class Labels:
    """The share of right labels, and precision, recall and F1 as means over labels.

    A label that is never answered has the precision 0, as scikit-learn has it with
    `zero_division=0`. White space, case and a full stop at the end do not count, unless
    `normalise` says otherwise.
    """

    name = "labels"
    needs: Need = "answers"

    def __init__(
        self, questions: Sequence[Question], *, normalise: Normalise = "label"
    ) -> None:
        self._normalise: Normalise = normalise
        spelled: dict[str, str] = {}
        for reference in references(questions, self.name):
            spelled.setdefault(normalised(reference, normalise), reference.strip())
        _refuse_free_texts(questions, len(spelled))
        known = sorted(spelled)
        self._index = {label: index for index, label in enumerate(known)}
        self.labels = tuple(spelled[label] for label in known)
        """As the references first spell them."""
        self.figures = (
            share("accuracy"),
            Figure(name="macro_f1", of=self._macro_f1),
            Figure(name="macro_precision", of=self._macro_precision),
            Figure(name="macro_recall", of=self._macro_recall),
        )

    def measure(self, outcome: Outcome) -> tuple[float, ...]:
        """Return whether the answer is right, 1, and the row's confusion, flattened."""
        answer, reference = (
            normalised(text, self._normalise) for text in pair(outcome, self.name)
        )
        count = len(self.labels)
        confusion = np.zeros((count, count + 1))
        confusion[self._index[reference], self._index.get(answer, count)] = 1
        return float(answer == reference), 1.0, *confusion.ravel().tolist()

    def confusion(self, sums: Numbers) -> Confusion:
        """Return the labels and how often each was taken for each."""
        count = len(self.labels)
        counts = sums[..., 2:].reshape(*sums.shape[:-1], count, count + 1)
        return Confusion(labels=self.labels, counts=counts)

    def _macro_precision(self, sums: Numbers) -> Numbers:
        hits, answered, _ = self._totals(sums)
        return _mean_over_labels(sums, ratio(hits, answered, 0.0))

    def _macro_recall(self, sums: Numbers) -> Numbers:
        hits, _, there = self._totals(sums)
        return _mean_over_labels(sums, ratio(hits, there, 0.0))

    def _macro_f1(self, sums: Numbers) -> Numbers:
        hits, answered, there = self._totals(sums)
        return _mean_over_labels(sums, ratio(2 * hits, answered + there, 0.0))

    def _totals(self, sums: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """Return right answers, answers and references, each of shape (…, labels)."""
        counts = self.confusion(sums).counts
        hits = np.diagonal(counts, axis1=-2, axis2=-1)
        return hits, counts[..., :-1].sum(axis=-2), counts.sum(axis=-1)


def _mean_over_labels(sums: Numbers, values: Numbers) -> Numbers:
    return np.where(sums[..., 1] == 0, np.nan, values.mean(axis=-1))


def _refuse_free_texts(questions: Sequence[Question], labels: int) -> None:
    others = "Use the metric 'exact_match', or 'token_f1' or 'rouge' for texts."
    if labels > MOST_LABELS:
        raise DataError(
            f"The metric 'labels' compares answers with a few labels, but the "
            f"references, from {questions[0].place} on, are {labels} different ones; "
            f"{MOST_LABELS} are the most. {others}"
        )
    if labels == len(questions) > 1:
        raise DataError(
            f"The metric 'labels' compares answers with a few labels, but the "
            f"references, from {questions[0].place} on, are all different. {others}"
        )
