"""What `verify` found: one check after another, and what they come to."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from xturing.core.events import Event

Verdict = Literal["passed", "failed", "not possible"]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One claim about a model and its rows, and whether it holds."""

    name: str
    claim: str
    """What should be so."""
    verdict: Verdict
    loss_error: float | None = None
    """Relative difference of the losses; None: none was computed."""
    gradient_error: float | None = None
    """L2 norm of the gradients' difference over that of the gradients."""
    reason: str = ""
    """What a failure means, or why the check is not possible."""

    @property
    def largest_error(self) -> float | None:
        """The larger of the two errors; None: nothing was computed."""
        known = [e for e in (self.loss_error, self.gradient_error) if e is not None]
        # No number is worse than any number.
        return max(known, key=lambda error: (error != error, error), default=None)


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What was found of a model and some of its rows."""

    model: str
    rows: int
    tokens: int
    """Tokens of the rows."""
    learnt: int
    """Those of them that are learnt."""
    bound: float
    """Largest error at which a check passes."""
    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.verdict == "failed")

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return not self.failed

    def as_dict(self) -> dict[str, Any]:
        """Return it as it is written to JSON."""
        return {"passed": self.passed, **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class Checked(Event):
    """A check was made."""

    check: Check
    number: int
    """From 1."""
    of: int
    """How many there are."""
