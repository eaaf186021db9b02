"""Fine-tuning whose every token is accounted for."""

from typing import TYPE_CHECKING

from xturing.core.lazy import exports

if TYPE_CHECKING:
    from xturing.train.evaluation import HeldOutLoss, held_out_loss
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
    from xturing.train.planning.planner import Prediction
    from xturing.train.report import FinetuneReport, RunLedger
    from xturing.train.reporting.additions import Choice
    from xturing.train.verification.report import Check, Checked, Verification
    from xturing.train.verification.verifying import verify

__all__ = [
    "BlocksCompiled",
    "Check",
    "Checked",
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
    "Verification",
    "finetune",
    "held_out_loss",
    "verify",
]

__getattr__ = exports(
    __name__,
    BlocksCompiled="events",
    Check="verification.report",
    Checked="verification.report",
    CheckpointSaved="events",
    CheckpointSkipped="events",
    Choice="reporting.additions",
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
    Verification="verification.report",
    finetune="finetuning",
    held_out_loss="evaluation",
    verify="verification.verifying",
)
