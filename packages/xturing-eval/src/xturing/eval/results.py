"""What an evaluation found: scores with intervals, comparisons, and where they stand.

These are values: how they come about is told elsewhere, and how they are shown too.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from xturing.core.resampling import CONFIDENCE, FEWEST_ROWS
from xturing.eval.questions import Outcome

Verdict = Literal["better", "no difference shown", "worse"]

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Score:
    """One figure of one model."""

    metric: str
    name: str
    """Of the figure, such as rouge1 of the metric rouge."""
    value: float
    low: float
    """Where its interval begins."""
    high: float
    rows: int
    higher_is_better: bool
    is_share: bool
    """Whether it is the share of rows that are right."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One figure of two models on the same rows."""

    name: str
    base: float
    other: float
    low: float
    """Where the interval of `difference` begins."""
    high: float
    rows: int
    higher_is_better: bool
    gained: int | None = None
    """Rows that the other alone gets right; None where rows are not right or wrong."""
    lost: int | None = None
    """Rows that the base alone gets right."""
    p_value: float | None = None
    """Of McNemar's exact test over these rows; None where there is none."""

    @property
    def difference(self) -> float:
        """What the other has more than the base."""
        return self.other - self.base

    @property
    def verdict(self) -> Verdict:
        """What the rows show; nothing, if the interval holds 0 or they are too few.

        Where rows are right or wrong, McNemar's test has to show a difference as well.
        A difference that is not defined (NaN) shows none.
        """
        is_apart = self.low > 0 or self.high < 0
        if self.rows < FEWEST_ROWS or not is_apart or math.isnan(self.difference):
            return "no difference shown"
        if self.p_value is not None and self.p_value > 1 - CONFIDENCE:
            return "no difference shown"
        is_better = (self.difference > 0) == self.higher_is_better
        return "better" if is_better else "worse"


@dataclass(frozen=True, kw_only=True)
class Contaminated:
    """A row of which some stands in a model's training data."""

    place: str
    source: str
    """Where the training data has it."""
    fraction: float
    """Share of its runs of words that the training data has."""


@dataclass(frozen=True, kw_only=True)
class Contamination:
    """Whether the rows stand in the data that a model was trained on."""

    training: str
    """What the training data is called."""
    rows: int | None
    """Rows of which something stands there; None: the data could not be read."""
    found: tuple[Contaminated, ...] = ()
    """The first of them, the worst first."""
    reason: str = ""
    """Why it could not be read."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one model came to."""

    model: str
    """As the user named it."""
    fingerprint: str
    """Of its weights and template."""
    scores: tuple[Score, ...]
    outcomes: tuple[Outcome, ...] = field(repr=False)
    forgetting: Score | None = None
    """Loss on general text, in nats per token."""
    contamination: Contamination | None = None

    def score(self, name: str) -> Score:
        """Return a figure by its name; `KeyError` if there is none."""
        for score in self.scores:
            if score.name == name:
                return score
        raise KeyError(name)


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A model held against the base: the first model of an evaluation."""

    base: str
    other: str
    comparisons: tuple[Comparison, ...]
    """The foremost figure first."""
    forgetting: Comparison | None = None
    """Of the loss on general text."""
    sentence: str = ""
    """The verdict in words."""

    @property
    def verdict(self) -> Verdict:
        """What the foremost figure shows."""
        return self.comparisons[0].verdict


@dataclass(frozen=True, kw_only=True)
class GateFailure:
    """A condition that was set and is not met."""

    condition: str
    """As the user gave it."""
    reason: str
    """What is the case instead."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Models on the questions of a task; also written to report.json in its folder."""

    task: str
    version: str
    """Of the task: a number, or a part of its data's hash."""
    data: str
    """Where the rows are from."""
    rows: int
    results: tuple[Result, ...]
    """The base first."""
    compared: tuple[Compared, ...] = ()
    """Each other model against the base."""
    failures: tuple[GateFailure, ...] = ()
    settings: Mapping[str, Any]
    environment: Mapping[str, str]
    """Versions of what computed it, and on what."""
    seed: int

    def _repr_html_(self) -> str:
        """Return the report as notebooks show it."""
        from xturing.core.papers import html
        from xturing.eval.reporting.content import sections

        return html.framed(html.page(f"Evaluation: {self.task}", sections(self)))
