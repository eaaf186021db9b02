"""Fine-tuning whose every token is accounted for."""

from typing import TYPE_CHECKING

from xturing.core.lazy import exports

if TYPE_CHECKING:
    from xturing.train.evaluation import HeldOutLoss, held_out_loss, perplexity
    from xturing.train.events import (
        BlocksCompiled,
        CheckpointSaved,
        CheckpointSkipped,
        RunResumed,
        RunStopped,
        StepEnded,
        TrainingStarted,
        Validated,
    )
    from xturing.train.finetuning import finetune
    from xturing.train.report import FinetuneReport, RunLedger

__all__ = [
    "BlocksCompiled",
    "CheckpointSaved",
    "CheckpointSkipped",
    "FinetuneReport",
    "HeldOutLoss",
    "RunLedger",
    "RunResumed",
    "RunStopped",
    "StepEnded",
    "TrainingStarted",
    "Validated",
    "finetune",
    "held_out_loss",
    "perplexity",
]

__getattr__ = exports(
    __name__,
    BlocksCompiled="events",
    CheckpointSaved="events",
    CheckpointSkipped="events",
    FinetuneReport="report",
    HeldOutLoss="evaluation",
    RunLedger="report",
    RunResumed="events",
    RunStopped="events",
    StepEnded="events",
    TrainingStarted="events",
    Validated="events",
    finetune="finetuning",
    held_out_loss="evaluation",
    perplexity="evaluation",
)
