"""What is told while data is made."""

from dataclasses import dataclass

from xturing.core.events import Event


@dataclass(frozen=True, kw_only=True)
class Answered(Event):
    """A request was answered by the model, not by the journal."""

    stage: str
    requests: int
    """That were sent in this run so far, those of earlier processes counted."""
    cost: float | None
    """US dollars so far; None if prices are not known."""


@dataclass(frozen=True, kw_only=True)
class StageMoved(Event):
    """A stage has come so far."""

    stage: str
    done: int
    total: int
    accepted: int
    rejected: int
