"""How a judge marks a model's answers: what was found, and how sure it is."""

from dataclasses import asdict, dataclass, field
from typing import Any

from xturing.core.resampling import CONFIDENCE, FEWEST_ROWS


@dataclass(frozen=True, kw_only=True)
class ScoredAnswer:
    """An answer that was marked."""

    row: int
    place: str
    score: int | None
    """None: there was none to be read."""


@dataclass(frozen=True, kw_only=True)
class RubricJudgement:
    """How a judge marks a model's answers."""

    judge: str
    model: str
    rubric: str
    scale: int
    """The best score; the worst is 1."""
    answers: tuple[ScoredAnswer, ...] = field(repr=False)
    """At least one of them has a score."""
    low: float
    """Where the interval of `mean` begins."""
    high: float

    @property
    def scores(self) -> list[int]:
        """Those that could be read, in order."""
        return [each.score for each in self.answers if each.score is not None]

    @property
    def mean(self) -> float:
        """Of the scores that could be read."""
        return sum(self.scores) / len(self.scores)

    @property
    def undecided(self) -> int:
        """Answers whose score could not be read, or was left out by a cap."""
        return len(self.answers) - len(self.scores)

    @property
    def sentence(self) -> str:
        """The finding in words, with its numbers."""
        told = (
            f"{self.judge} gives {self.model} {self.mean:.2f} of {self.scale} "
            f"({CONFIDENCE:.0%} interval {self.low:.2f} to {self.high:.2f}, answers: "
            f"{len(self.scores)})."
        )
        if len(self.scores) < FEWEST_ROWS:
            told += f" Fewer than {FEWEST_ROWS} answers say little of others."
        if self.undecided:
            told += f" Left undecided: {self.undecided} of {len(self.answers)} answers."
        return told

    def as_dict(self) -> dict[str, Any]:
        """Return the judgement for a JSON file, each answer included."""
        return {
            **asdict(self),
            "mean": self.mean,
            "undecided": self.undecided,
            "sentence": self.sentence,
        }
