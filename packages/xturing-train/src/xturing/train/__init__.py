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
    from xturing.train.planning.events import (
        PlanCompared,
        RunPlanned,
        RunReplanned,
    )
    from xturing.train.planning.planner import Choice, Prediction
    from xturing.train.report import FinetuneReport, RunLedger

__all__ = [
    "BlocksCompiled",
    "CheckpointSaved",
    "CheckpointSkipped",
    "Choice",
    "FinetuneReport",
    "HeldOutLoss",
    "PlanCompared",
    "Prediction",
    "RunLedger",
    "RunPlanned",
    "RunReplanned",
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
    Choice="planning.planner",
    FinetuneReport="report",
    HeldOutLoss="evaluation",
    PlanCompared="planning.events",
    Prediction="planning.planner",
    RunLedger="report",
    RunPlanned="planning.events",
    RunReplanned="planning.events",
    RunResumed="events",
    RunStopped="events",
    StepEnded="events",
    TrainingStarted="events",
    Validated="events",
    finetune="finetuning",
    held_out_loss="evaluation",
    perplexity="evaluation",
)
