"""How sure the mean of what a judge said of each row is."""

from collections.abc import Sequence

import numpy as np

from xturing.core.resampling import interval, resampled
from xturing.eval.metrics import mean


def mean_interval(values: Sequence[float], *, seed: int) -> tuple[float, float]:
    """Return where the mean of rows that are drawn anew lies, by the bootstrap."""
    statistics = np.stack([values, np.ones(len(values))], axis=1)
    drawn = resampled(statistics, mean, seed=seed)
    return interval(drawn, sum(values) / len(values))
