"""Whether tuning made a model better on held-out rows, and how sure that is."""

from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from xturing.train.row_losses import RowLosses

Verdict = Literal["better", "no difference shown", "worse"]

CONFIDENCE = 0.95
RESAMPLES = 2000
FEWEST_ROWS = 5
"""With fewer rows, drawing them anew says little of what other rows would show."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Held-out losses of two models on the same rows, in nats per learnt token."""

    rows: int
    base: float
    tuned: float
    low: float
    """Where the interval of `difference` begins."""
    high: float

    @property
    def difference(self) -> float:
        """What tuning added to the loss: less than nothing, if it helped."""
        return self.tuned - self.base

    @property
    def verdict(self) -> Verdict:
        """What the rows show; nothing, if the interval holds 0 or they are too few."""
        if self.rows < FEWEST_ROWS or self.low <= 0 <= self.high:
            return "no difference shown"
        return "better" if self.high < 0 else "worse"

    @property
    def sentence(self) -> str:
        """The verdict in words, with its numbers."""
        numbers = (
            f"the held-out loss went from {self.base:.4f} to {self.tuned:.4f} nats a "
            f"token over {self.rows} rows ({self.difference:+.4f}, "
            f"{CONFIDENCE:.0%} interval {self.low:+.4f} to {self.high:+.4f})"
        )
        match self.verdict:
            case "better":
                return f"The tuned model is better: {numbers}."
            case "worse":
                return f"The tuned model is worse: {numbers}."
        if self.rows < FEWEST_ROWS:
            return (
                f"No difference shown: {numbers}; fewer than {FEWEST_ROWS} rows cannot "
                "show one. Hold out more."
            )
        return f"No difference shown: {numbers}, which holds 0."

    def as_dict(self) -> dict[str, object]:
        """Return the comparison for a JSON file, its verdict included."""
        return {
            **asdict(self),
            "difference": self.difference,
            "verdict": self.verdict,
        }


def compare(base: RowLosses, tuned: RowLosses, *, seed: int) -> Comparison:
    """Return how two models do on the same rows.

    The interval is the percentile bootstrap's (Efron and Tibshirani 1993, chapter 13):
    rows are drawn anew with both their losses, so that what is hard about a row is hard
    for both models.
    """
    seen = tuned.tokens > 0
    tokens = tuned.tokens[seen]
    gained = (tuned.nats - base.nats)[seen]
    generator = np.random.default_rng(seed)
    count = len(tokens)
    differences = np.empty(RESAMPLES)
    for index in range(RESAMPLES):
        drawn = generator.integers(count, size=count)
        differences[index] = gained[drawn].sum() / tokens[drawn].sum()
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(differences, (tail, 1 - tail))
    total = tokens.sum()
    before = float(base.nats[seen].sum() / total)
    after = float(tuned.nats[seen].sum() / total)
    # Rounding, or one row that outweighs all, must not leave the mean outside.
    return Comparison(
        rows=count,
        base=before,
        tuned=after,
        low=min(float(low), after - before),
        high=max(float(high), after - before),
    )
