"""What is told of a run's plan."""

from dataclasses import dataclass

from xturing.core.events import Event
from xturing.train.planning.planner import Prediction
from xturing.train.reporting.additions import Choice


@dataclass(frozen=True, kw_only=True)
class RunPlanned(Event):
    """A run with limits was measured and planned; its first step is to come."""

    prediction: Prediction
    choices: tuple[Choice, ...]


@dataclass(frozen=True, kw_only=True)
class RunReplanned(Event):
    """The machine is faster or slower than it was, so that other steps fit."""

    step: int
    """Steps that were taken."""
    steps: int
    """Of the whole run, as planned now."""
    slowness: float
    """Seconds of steps, over those that were predicted."""


@dataclass(frozen=True, kw_only=True)
class PlanCompared(Event):
    """A run with limits is over: what was predicted, and what it really took."""

    predicted: Prediction
    real: Prediction
