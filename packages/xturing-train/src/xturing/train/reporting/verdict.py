"""Whether tuning made a model better on held-out rows, and how sure that is."""

from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from xturing.core.resampling import (
    CONFIDENCE,
    FEWEST_ROWS,
    Numbers,
    interval,
    resampled,
)
from xturing.train.row_losses import RowLosses

Outcome = Literal["better", "no difference shown", "worse"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Held-out losses of two models on the same rows, in nats per `measure`."""

    measure: str
    """What a loss is of: a token, a pair or a judgement."""
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
    def outcome(self) -> Outcome:
        """What the rows show; nothing, if the interval holds 0 or they are too few."""
        if self.rows < FEWEST_ROWS or self.low <= 0 <= self.high:
            return "no difference shown"
        return "better" if self.high < 0 else "worse"

    @property
    def sentence(self) -> str:
        """The outcome in words, with its numbers."""
        numbers = (
            f"the held-out loss went from {self.base:.4f} to {self.tuned:.4f} nats a "
            f"{self.measure} over {self.rows} rows ({self.difference:+.4f}, "
            f"{CONFIDENCE:.0%} interval {self.low:+.4f} to {self.high:+.4f})"
        )
        match self.outcome:
            case "better":
                return f"The tuned model is better: {numbers}."
            case "worse":
                return f"The tuned model is worse: {numbers}."
        start = "The tuned model is not shown to be better. No difference shown"
        if self.rows < FEWEST_ROWS:
            return (
                f"{start}: {numbers}; fewer than {FEWEST_ROWS} rows cannot show one. "
                "Hold out more."
            )
        return f"{start}: {numbers}, which holds 0."

    def as_dict(self) -> dict[str, object]:
        """Return the verdict for a JSON file, its outcome included."""
        return {
            **asdict(self),
            "difference": self.difference,
            "outcome": self.outcome,
        }


def judge(base: RowLosses, tuned: RowLosses, *, measure: str, seed: int) -> Verdict:
    """Return how two models do on the same rows.

    Rows are drawn anew with both their losses, so that what is hard about a row is hard
    for both models.
    """
    seen = tuned.counts > 0
    counts = tuned.counts[seen]
    gained = np.stack([(tuned.nats - base.nats)[seen], counts.astype(float)], axis=1)
    total = counts.sum()
    before = float(base.nats[seen].sum() / total)
    after = float(tuned.nats[seen].sum() / total)
    differences = resampled(gained, _mean, seed=seed)
    low, high = interval(differences, after - before)
    return Verdict(
        measure=measure,
        rows=len(counts),
        base=before,
        tuned=after,
        low=low,
        high=high,
    )


def _mean(sums: Numbers) -> Numbers:
    return sums[..., 0] / sums[..., 1]
