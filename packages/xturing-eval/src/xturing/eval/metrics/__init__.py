"""Metrics: one file each, found by the name that users write.

A metric measures outcomes row by row, as numbers that are summed up; its figures are
functions of these sums. So every figure can be computed of any rows, which is how its
interval comes about. Other distributions add metrics with the entry point group
`xturing.metrics`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from xturing.core.registry import Registry
from xturing.core.resampling import Numbers
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
    """Whether it is the share of rows that are right: the first statistic is 1 or 0 for
    each row, the second is 1."""


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


def mean(sums: Numbers) -> Numbers:
    """Return the first statistic over the second."""
    return over(sums, 0, 1)


def over(sums: Numbers, part: int, whole: int) -> Numbers:
    """Return one statistic over another; NaN where that is 0."""
    import numpy as np

    top, bottom = sums[..., part], sums[..., whole]
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom != 0)


def opened(
    name: str, questions: Sequence[Question], options: dict[str, object]
) -> Metric:
    """Return a metric for questions.

    Raises:
        UnknownNameError: there is none of this name.
        SettingsError: it has no such option.
        DataError: it does not fit the questions.
    """
    from inspect import signature

    from xturing.core.errors import SettingsError
    from xturing.core.names import suggestion

    maker = METRICS[name]
    _, *known = signature(maker).parameters
    for option in options:
        if option not in known:
            raise SettingsError(
                f"The metric '{name}' has no option '{option}'. "
                f"{suggestion(option, known)}"
            )
    return maker(questions, **options)


def references(questions: Sequence[Question], metric: str) -> list[str]:
    """Return the questions' references.

    Raises:
        DataError: one has none.
    """
    from xturing.core.errors import DataError

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
