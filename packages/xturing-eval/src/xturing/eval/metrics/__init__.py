"""Metrics: one file each, found by the name that users write.

A metric measures outcomes row by row, as numbers that are summed up; its figures are
functions of these sums. So every figure can be computed of any rows, which is how its
interval comes about. Other distributions add metrics with the entry point group
`xturing.metrics`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import signature
from types import MappingProxyType
from typing import Literal, Protocol

import numpy as np

from xturing.core.errors import DataError
from xturing.core.registry import Registry
from xturing.core.resampling import Numbers
from xturing.eval.metrics.options import checked
from xturing.eval.questions import Outcome, Question

Need = Literal["answers", "reference", "choices"]
"""Which part of an outcome a metric reads: what the model wrote, the likelihood of the
reference, or that of each choice."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number that a metric comes to."""

    name: str
    """As it stands in reports and in `--fail-under`; no two figures share it."""
    of: Callable[[Numbers], Numbers]
    """Makes of sums of shape (…, statistics) numbers of shape (…); NaN where it is not
    defined."""
    higher_is_better: bool = True
    is_share: bool = False
    """Whether it is the share of rows that are right: the statistic `hit` is 1 or 0 for
    each row, and the second of all statistics is 1."""
    hit: int = 0
    """Index of the statistic that says whether a row is right, if it is a share."""


class Metric(Protocol):
    """A way to measure outcomes."""

    name: str
    needs: Need
    figures: tuple[Figure, ...]
    """The foremost first."""

    def measure(self, outcome: Outcome) -> Sequence[float]:
        """Return a row's statistics; all rows have as many.

        Raises:
            DataError: the outcome cannot be measured; the message names its place.
        """
        ...


Maker = Callable[..., Metric]
"""Takes the questions, and the metric's own options by name. It raises `DataError`
where the metric does not fit the questions (a reference is missing or of another kind),
naming the first place, and `SettingsError` for options."""

METRICS: Registry[Maker] = Registry(
    "metric",
    "xturing.metrics",
    {
        name: f"xturing.eval.metrics.{module}:{maker}"
        for name, module, maker in (
            ("bleu", "bleu", "Bleu"),
            ("chrf", "chrf", "ChrF"),
            ("embedding_similarity", "embedding_similarity", "EmbeddingSimilarity"),
            ("exact_match", "exact_match", "ExactMatch"),
            ("json_fields", "json_fields", "JsonFields"),
            ("labels", "labels", "Labels"),
            ("loss", "loss", "Loss"),
            ("multiple_choice", "multiple_choice", "MultipleChoice"),
            ("numeric_answer", "numeric_answer", "NumericAnswer"),
            ("pass_at_k", "pass_at_k", "PassAtK"),
            ("regex", "regex", "Regex"),
            ("repetition", "repetition", "Repetition"),
            ("rouge", "rouge", "Rouge"),
            ("self_stopping", "self_stopping", "SelfStopping"),
            ("token_f1", "token_f1", "TokenF1"),
        )
    },
)
"""Metrics by name."""


def share(name: str, hit: int = 0) -> Figure:
    """Return the figure that is the share of rows whose statistic `hit` is 1."""
    of = partial(over, part=hit, whole=1)
    return Figure(name=name, of=of, is_share=True, hit=hit)


def average(name: str, part: int = 0) -> Figure:
    """Return the figure that is the mean of a statistic; the second counts rows."""
    return Figure(name=name, of=partial(over, part=part, whole=1))


def mean(sums: Numbers) -> Numbers:
    """Return the first statistic over the second."""
    return over(sums, 0, 1)


def over(sums: Numbers, part: int, whole: int) -> Numbers:
    """Return one statistic over another; NaN where that is 0."""
    return ratio(sums[..., part], sums[..., whole])


def ratio(parts: Numbers, wholes: Numbers, undefined: float = math.nan) -> Numbers:
    """Return parts over wholes, and `undefined` where a whole is 0."""
    filled = np.full_like(parts, undefined)
    return np.divide(parts, wholes, out=filled, where=wholes != 0)


def opened(
    name: str,
    questions: Sequence[Question],
    options: Mapping[str, object],
    offered: Mapping[str, object] = MappingProxyType({}),
) -> Metric:
    """Return a metric for questions.

    What is `offered` is taken for options that the metric has and that are not given.

    Raises:
        UnknownNameError: there is none of this name.
        SettingsError: it has no such option, needs another one, or a value is wrong.
        DataError: it does not fit the questions.
    """
    maker = METRICS[name]
    known = signature(maker).parameters
    fitting = {each: offered[each] for each in offered if each in known}
    return maker(questions, **checked(name, maker, {**fitting, **options}))


def references(questions: Sequence[Question], metric: str) -> list[str]:
    """Return the questions' references.

    Raises:
        DataError: one has none.
    """
    found = []
    for question in questions:
        if question.reference is None:
            raise DataError(
                f"{question.place} has no reference to compare an answer with, so the "
                f"metric '{metric}' cannot be computed. Name the column that holds it "
                "(`target` in a task, --map for rows), or leave the metric out."
            )
        found.append(question.reference)
    return found


def pair(outcome: Outcome, metric: str) -> tuple[str, str]:
    """Return an outcome's first answer and its question's reference.

    Raises:
        DataError: there is no reference.
    """
    (reference,) = references([outcome.question], metric)
    return outcome.answer, reference
