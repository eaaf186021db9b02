"""Outcomes to figures with intervals: one model's, or two models' on the same rows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from xturing.core.errors import DataError
from xturing.core.resampling import (
    CONFIDENCE,
    RESAMPLES,
    Numbers,
    interval,
    resampled,
)
from xturing.eval.metrics import Figure, Metric
from xturing.eval.questions import Outcome
from xturing.eval.results import Comparison, Score


@dataclass(frozen=True, eq=False)
class Measured:
    """What a metric makes of one model's outcomes."""

    metric: Metric
    statistics: Numbers
    """Of shape (rows, statistics)."""

    def value(self, figure: Figure) -> float:
        """Return a figure of all rows."""
        return float(figure.of(self.statistics.sum(axis=0)))

    def hits(self, figure: Figure) -> Numbers:
        """Return which rows are right, 1 or 0, of shape (rows,)."""
        return self.statistics[:, figure.hit]


def measure(metric: Metric, outcomes: Sequence[Outcome]) -> Measured:
    """Return what a metric makes of outcomes.

    Raises:
        DataError: one cannot be measured, a number is not defined, or all answers are
            empty.
    """
    if metric.needs == "answers":
        _refuse_empty(metric, outcomes)
    rows = []
    for outcome in outcomes:
        found = [float(number) for number in metric.measure(outcome)]
        if not all(map(math.isfinite, found)):
            raise DataError(
                f"{outcome.question.place}: the metric '{metric.name}' comes to "
                f"{found}, which is no number. The model's weights or numbers are "
                "broken (NaN or infinite); no score of it can be trusted."
            )
        rows.append(found)
    return Measured(metric, np.array(rows, dtype=np.float64))


def scores(measured: Measured, *, seed: int, resamples: int = RESAMPLES) -> list[Score]:
    """Return a model's figures with their intervals."""
    found = []
    for figure in measured.metric.figures:
        value = measured.value(figure)
        if figure.is_share:
            hits = measured.hits(figure)
            low, high = share_interval(int(hits.sum()), len(hits))
        else:
            draws = resampled(
                measured.statistics, figure.of, seed=seed, resamples=resamples
            )
            low, high = interval(draws, value)
        found.append(
            Score(
                metric=measured.metric.name,
                name=figure.name,
                value=value,
                low=low,
                high=high,
                rows=len(measured.statistics),
                higher_is_better=figure.higher_is_better,
                is_share=figure.is_share,
            )
        )
    return found


def compare(
    base: Measured, other: Measured, *, seed: int, resamples: int = RESAMPLES
) -> list[Comparison]:
    """Return how two models' figures differ, row by row the same ones.

    Rows are drawn anew with what both made of them, so that what is hard about a row is
    hard for both.
    """
    width = base.statistics.shape[1]
    both = np.hstack([base.statistics, other.statistics])
    found = []
    for figure in base.metric.figures:

        def gained(sums: Numbers, figure: Figure = figure) -> Numbers:
            return figure.of(sums[..., width:]) - figure.of(sums[..., :width])

        before, after = base.value(figure), other.value(figure)
        draws = resampled(both, gained, seed=seed, resamples=resamples)
        low, high = interval(draws, after - before)
        won = _won_and_lost(base, other, figure)
        found.append(
            Comparison(
                name=figure.name,
                base=before,
                other=after,
                low=low,
                high=high,
                rows=len(both),
                higher_is_better=figure.higher_is_better,
                gained=won[0] if won else None,
                lost=won[1] if won else None,
                p_value=mcnemar(*won) if won else None,
            )
        )
    return found


def share_interval(
    hits: int, rows: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Return the interval of a share of rows (Wilson 1927).

    Drawing rows anew would find no doubt where all rows are right, or none.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = hits / rows
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    spread = math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    half = z * spread / (1 + z * z / rows)
    return max(min(middle - half, share), 0.0), min(max(middle + half, share), 1.0)


def mcnemar(gained: int, lost: int) -> float:
    """Return the p-value of McNemar's exact test (McNemar 1947), two-sided.

    That is how likely rows that only one model gets right are to be shared out as
    unevenly, if each is as likely to be the one's as the other's.
    """
    count = gained + lost
    fewer = sum(math.comb(count, hits) for hits in range(min(gained, lost) + 1))
    return min(2 * fewer / 2**count, 1.0)


def _won_and_lost(
    base: Measured, other: Measured, figure: Figure
) -> tuple[int, int] | None:
    """Return how many rows only the other, and only the base, gets right."""
    if not figure.is_share:
        return None
    before, after = base.hits(figure) > 0.5, other.hits(figure) > 0.5
    return int((after & ~before).sum()), int((before & ~after).sum())


def _refuse_empty(metric: Metric, outcomes: Sequence[Outcome]) -> None:
    if not any(answer.text.strip() for each in outcomes for answer in each.answers):
        raise DataError(
            f"All {len(outcomes)} answers are empty, so the metric '{metric.name}' has "
            "nothing to measure. Look at the prompts and at the chat template: the "
            "model may see its end of turn where it should begin."
        )
