"""How sure a figure over rows is: rows are drawn anew, again and again.

A figure is a function of sums over rows (of hits and rows, of nats and tokens, of a
table of confusions), so that drawing rows anew costs a sum and no more. This is the
percentile bootstrap (Efron and Tibshirani 1993, chapter 13).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Figure = Callable[[Numbers], Numbers]
"""Makes of sums, of shape (…, statistics), numbers of shape (…)."""

CONFIDENCE = 0.95
RESAMPLES = 2000
FEWEST_ROWS = 5
"""With fewer rows, drawing them anew says little of what other rows would show."""
MOST_AT_ONCE = 1_000_000
"""Rows that are drawn at a time, for the memory that they take."""


def resampled(
    statistics: Numbers, figure: Figure, *, seed: int, resamples: int = RESAMPLES
) -> Numbers:
    """Return the figure of rows that are drawn anew, of shape (resamples,).

    `statistics` has the shape (rows, statistics). The same seed draws the same rows of
    statistics of the same length, so that two models can be compared row by row.
    """
    rows = len(statistics)
    generator = np.random.default_rng(seed)
    found = np.empty(resamples)
    at_once = max(MOST_AT_ONCE // rows, 1)
    for start in range(0, resamples, at_once):
        part = found[start : start + at_once]
        drawn = generator.integers(rows, size=(len(part), rows))
        # How often each row was drawn: a product with it is faster than picking rows.
        drawn += np.arange(len(part))[:, None] * rows
        times = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
        part[:] = figure(times @ statistics)
    return found


def interval(
    values: Numbers, estimate: float, *, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Return where the middle of the drawn values lies, the estimate always included.

    Values that are not defined (NaN), as a precision without anything found, are left
    out.
    """
    defined = values[~np.isnan(values)]
    if not len(defined):
        return estimate, estimate
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, (tail, 1 - tail))
    # Rounding, or one row that outweighs all, must not leave the estimate outside.
    return min(float(low), estimate), max(float(high), estimate)
