"""Which of two models' answers a judge prefers: what was found, and what it shows."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

from xturing.core.resampling import CONFIDENCE, FEWEST_ROWS
from xturing.eval.judging.replies import Choice
from xturing.eval.results import Verdict

Ruling = Literal["win", "loss", "tie", "inconsistent", "undecided"]

POINTS: Mapping[Ruling, float] = {
    "win": 1.0,
    "tie": 0.5,
    "inconsistent": 0.5,
    "loss": 0.0,
}
"""What a decided pair counts for the other model."""


@dataclass(frozen=True, kw_only=True)
class TwiceJudged:
    """Two answers to a question, judged in both orders."""

    row: int
    place: str
    base_first: Choice | None
    """The verdict with the base's answer as A; None: there was none to be read."""
    other_first: Choice | None

    @property
    def ruling(self) -> Ruling:
        """What both orders come to for the other model; a win is one in both."""
        match self.base_first, self.other_first:
            case (None, _) | (_, None):
                return "undecided"
            case "B", "A":
                return "win"
            case "A", "B":
                return "loss"
            case "tie", "tie":
                return "tie"
        return "inconsistent"


@dataclass(frozen=True, kw_only=True)
class PairwiseJudgement:
    """How often a judge prefers the other model's answers to the base's."""

    judge: str
    base: str
    other: str
    pairs: tuple[TwiceJudged, ...] = field(repr=False)
    """At least one of them is decided."""
    low: float
    """Where the interval of `win_rate` begins."""
    high: float

    @cached_property
    def _rulings(self) -> Counter[Ruling]:
        return Counter(pair.ruling for pair in self.pairs)

    @property
    def wins(self) -> int:
        """Pairs of which the other's answer is better in both orders."""
        return self._rulings["win"]

    @property
    def losses(self) -> int:
        """Pairs of which the base's answer is better in both orders."""
        return self._rulings["loss"]

    @property
    def ties(self) -> int:
        """Pairs of which neither is; the inconsistent ones included."""
        return self._rulings["tie"] + self.inconsistent

    @property
    def inconsistent(self) -> int:
        """Pairs whose verdict changed with the order."""
        return self._rulings["inconsistent"]

    @property
    def undecided(self) -> int:
        """Pairs of which a verdict could not be read, or was left out by a cap."""
        return self._rulings["undecided"]

    @property
    def decided(self) -> int:
        """Wins, losses and ties."""
        return len(self.pairs) - self.undecided

    @property
    def win_rate(self) -> float:
        """Wins and half of the ties, of the pairs that are decided."""
        return (self.wins + self.ties / 2) / self.decided

    @property
    def first_share(self) -> float | None:
        """Of the verdicts for an answer, those for the one that stood first.

        A judge whom the order does not sway has 0.5. Pairs that are undecided do not
        count; None: all verdicts were ties.
        """
        verdicts = Counter(
            verdict
            for pair in self.pairs
            if pair.ruling != "undecided"
            for verdict in (pair.base_first, pair.other_first)
        )
        preferences = verdicts["A"] + verdicts["B"]
        return verdicts["A"] / preferences if preferences else None

    @property
    def verdict(self) -> Verdict:
        """What the pairs show; nothing, if the interval holds 1/2 or they are few."""
        if self.decided < FEWEST_ROWS or self.low <= 0.5 <= self.high:
            return "no difference shown"
        return "better" if self.win_rate > 0.5 else "worse"

    @property
    def sentence(self) -> str:
        """The verdict in words, with its numbers."""
        return " ".join([self._finding, *self._reservations])

    @property
    def _finding(self) -> str:
        numbers = (
            f"{self.wins} wins, {self.losses} losses and {self.ties} ties, a win rate "
            f"of {self.win_rate:.1%} ({CONFIDENCE:.0%} interval {self.low:.1%} to "
            f"{self.high:.1%})"
        )
        if self.verdict != "no difference shown":
            relation = f"{self.verdict} than {self.base}"
            return f"{self.judge} finds {self.other} {relation}: {numbers}."
        names = f"{self.other} and {self.base}"
        start = f"No difference shown between {names} by {self.judge}: {numbers}"
        if self.decided < FEWEST_ROWS:
            return f"{start}; fewer than {FEWEST_ROWS} pairs cannot show one."
        return f"{start}, which holds 50%."

    @property
    def _reservations(self) -> list[str]:
        told = []
        if self.inconsistent:
            told.append(
                f"Ties whose verdict changed with the order: {self.inconsistent}."
            )
        if self.undecided:
            told.append(f"Left undecided: {self.undecided} of {len(self.pairs)} pairs.")
        if self.first_share is not None:
            told.append(
                f"Of the verdicts for an answer, {self.first_share:.0%} were for the "
                "one that stood first; 50% is fair."
            )
        return told

    def as_dict(self) -> dict[str, Any]:
        """Return the judgement for a JSON file, each pair included."""
        names = (
            *("judge", "base", "other", "wins", "losses", "ties", "inconsistent"),
            *("undecided", "win_rate", "low", "high", "first_share"),
            *("verdict", "sentence"),
        )
        pairs = [{**asdict(pair), "ruling": pair.ruling} for pair in self.pairs]
        return {**{name: getattr(self, name) for name in names}, "pairs": pairs}
