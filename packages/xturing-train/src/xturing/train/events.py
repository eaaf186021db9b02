"""What a run tells while it goes on."""

from dataclasses import dataclass
from pathlib import Path

from xturing.core.events import Event
from xturing.data.ledger import Ledger
from xturing.train.objectives.comparison import Comparison


@dataclass(frozen=True, kw_only=True)
class TrainingStarted(Event):
    """All rows are encoded and the first step is about to be taken."""

    steps: int
    """Optimizer steps of the run."""
    ledger: Ledger
    """Tokens of the training rows, for one pass."""
    validation_ledger: Ledger | None
    """Tokens of the held-out rows."""
    output_dir: Path
    objective: str = "sft"
    """What is learnt; `auto` has been decided."""


@dataclass(frozen=True, kw_only=True)
class StepEnded(Event):
    """An optimizer step was taken."""

    step: int
    loss: float
    """Mean loss in nats per learnt token of the step, or per pair or judgement."""
    learning_rate: float
    gradient_norm: float
    """L2 norm before it was limited."""
    supervised: int
    """Tokens that entered the loss."""
    tokens: int
    """Tokens that the model read, padding not counted."""
    padding: int
    seconds: float
    comparison: Comparison | None = None
    """How wanted answers did against unwanted ones, where there are such."""


@dataclass(frozen=True, kw_only=True)
class Validated(Event):
    """The held-out rows were scored."""

    step: int
    loss: float
    """Mean loss in nats per learnt token, or per pair or judgement."""
    perplexity: float | None
    """Of learnt tokens; None where pairs or judgements are scored."""
    comparison: Comparison | None = None
    """How wanted answers did against unwanted ones, where there are such."""


@dataclass(frozen=True, kw_only=True)
class CheckpointSaved(Event):
    """A checkpoint was written: a folder that `BaseModel.load` opens."""

    step: int
    path: Path


@dataclass(frozen=True, kw_only=True)
class BlocksCompiled(Event):
    """The model's blocks are compiled; training begins."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class CheckpointSkipped(Event):
    """A checkpoint cannot be gone on from, so an older one is looked for."""

    path: Path
    reason: str


@dataclass(frozen=True, kw_only=True)
class RunResumed(Event):
    """A run that was interrupted goes on."""

    step: int
    """Steps that were taken already; 0 if it starts from the beginning."""
    path: Path | None
    """The checkpoint it goes on from; None: there is none that is whole."""


@dataclass(frozen=True, kw_only=True)
class RunStopped(Event):
    """A signal ended the run before its last step."""

    step: int
    path: Path | None
    """The checkpoint that was written for it; None: no step was taken yet."""
    folder: Path
    """The run's folder, which is resumed."""
