"""What is told while models are evaluated."""

from dataclasses import dataclass

from xturing.core.events import Event


@dataclass(frozen=True, kw_only=True)
class Advanced(Event):
    """A batch was scored or answered."""

    work: str
    """What is being done: "answers", "references", "choices", "general text"
    or "likelihoods"."""
    done: int
    """Batches so far, those of an earlier run included."""
    total: int


@dataclass(frozen=True, kw_only=True)
class ModelOpened(Event):
    """A model is in memory, and is asked now."""

    model: str
    """As the user named it."""
    number: int
    """From 1 on."""
    of: int
