"""What a run did, in numbers."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from xturing.data.ledger import Ledger
from xturing.models.loss import trainable
from xturing.train.events import TrainingStarted, Validated
from xturing.train.memory import peak_bytes
from xturing.train.objectives.choosing import METHODS
from xturing.train.objectives.comparison import Comparison
from xturing.train.planning.planner import Prediction
from xturing.train.reporting.additions import Choice, Topic
from xturing.train.reporting.forensics import Forensics
from xturing.train.reporting.samples import Sample
from xturing.train.reporting.verdict import Verdict
from xturing.train.runner import Fact, Run

LEDGER_FILE = "ledger.json"
REPORT_FILE = "report.json"
PAGE_FILE = "report.html"
TEXT_FILE = "report.md"
ROWS_FILE = "row_losses.jsonl"


@dataclass(frozen=True, kw_only=True)
class RunLedger:
    """Tokens of all steps of a run: what the plan said, and what the loss saw.

    Both are counted apart and compared at every micro-batch, see `SupervisedModule`.
    """

    steps: int
    planned: int
    """Tokens that the examples in the steps were to teach."""
    in_loss: int
    """Losses that were summed up in these steps."""
    tokens: int
    """Tokens that the model read, padding not counted."""
    padding: int


@dataclass(frozen=True, kw_only=True)
class FinetuneReport:
    """The outcome of a run; also written to report.json in its folder."""

    output_dir: Path
    steps: int
    epochs: float
    """Passes over the training rows."""
    seconds: float
    """Time spent in optimizer steps; loading, validation and saving are not counted."""
    tokens_per_second: float
    """Real tokens, padding not counted, over `seconds`."""
    peak_memory_bytes: int | None
    """Most memory that the process had resident in the run, where the system tells;
    outside Linux, the most that it ever had."""
    losses: tuple[float, ...]
    """Loss of each step in nats per learnt token, pair or judgement."""
    validations: tuple[Validated, ...]
    """The first is from before the first step, the last from after the last."""
    ledger: Ledger
    """Tokens of the training rows, for one pass."""
    validation_ledger: Ledger | None
    run_ledger: RunLedger
    trainable_parameters: int
    parameters: int
    stopped_early: bool
    predicted: Prediction | None
    """What a run with limits was to take."""
    real: Prediction | None
    """What it took."""
    objective: str
    """What was learnt: sft, dpo, orpo or kto."""
    settings: dict[str, Any]
    sources: dict[str, str]
    """Who set each setting."""
    learning_rates: tuple[float, ...] = ()
    """Learning rate of each step."""
    choices: tuple[Choice, ...] = ()
    """What was left to the run to decide, and what it decided for which reason."""
    topics: tuple[Topic, ...] = ()
    """What other parts of the run have to say, a section each."""
    verdict: Verdict | None = None
    """The held-out loss of the base against that of the tuned model."""
    samples: tuple[Sample, ...] = ()
    """Held-out rows, as the base and as the tuned model answer them."""
    forensics: Forensics | None = None
    """Training rows that stand out."""

    @property
    def measure(self) -> str:
        """What a loss is of: a token, a pair or a judgement."""
        return METHODS[self.objective].measure

    @property
    def page(self) -> Path | None:
        """The report for people; None if it was switched off."""
        return self.output_dir / PAGE_FILE if self.settings["report"] else None

    @property
    def self_stopping(self) -> tuple[float, float] | None:
        """Shares of the base's and the tuned model's samples that end by themselves."""
        count = len(self.samples)
        if not count:
            return None
        base = sum(sample.base.stopped for sample in self.samples)
        tuned = sum(sample.tuned.stopped for sample in self.samples)
        return base / count, tuned / count

    def found(self, findings: "Findings") -> "FinetuneReport":
        """Return the report with what was found."""
        return replace(
            self,
            verdict=findings.verdict,
            samples=findings.samples,
            forensics=findings.forensics,
        )

    @property
    def loss_before(self) -> float | None:
        """Loss of the held-out rows before training."""
        return self.validations[0].loss if self.validations else None

    @property
    def loss_after(self) -> float | None:
        """Loss of the held-out rows after training."""
        return self.validations[-1].loss if self.validations else None

    @property
    def comparison_before(self) -> Comparison | None:
        """Held-out pairs or judgements before training."""
        return self.validations[0].comparison if self.validations else None

    @property
    def comparison_after(self) -> Comparison | None:
        """Held-out pairs or judgements after training."""
        return self.validations[-1].comparison if self.validations else None

    def _repr_html_(self) -> str:
        """Return the report as notebooks show it."""
        from xturing.core.papers import html
        from xturing.train.reporting.content import sections

        return html.framed(html.page("Fine-tuning report", sections(self)))

    def as_dict(self) -> dict[str, object]:
        """Return the report for a JSON file; the ledgers have a file of their own."""
        values: dict[str, object] = {**asdict(self), "output_dir": str(self.output_dir)}
        for ledger in ("ledger", "validation_ledger", "run_ledger"):
            del values[ledger]
        values["self_stopping"] = self.self_stopping
        if self.verdict is not None:
            values["verdict"] = self.verdict.as_dict()
        return values


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What comes of looking at rows one by one."""

    verdict: Verdict | None
    samples: tuple[Sample, ...]
    forensics: Forensics


def ledgers(
    started: TrainingStarted, run: RunLedger | None = None
) -> dict[str, object]:
    """Return all that is known of a run's tokens, for a JSON file."""
    held_out = started.validation_ledger
    return {
        "training_rows": started.ledger.as_dict(),
        "validation_rows": held_out.as_dict() if held_out else None,
        "run": asdict(run) if run else None,
    }


def summarise(run: Run, started: TrainingStarted, fact: Fact) -> FinetuneReport:
    """Return the report of a run that has ended."""
    network, steps = run.model.engine.model, run.recorder.steps
    seconds = sum(step.seconds for step in steps)
    tokens = sum(step.tokens for step in steps)
    rows_tokens = (
        started.ledger.tokens - started.ledger.padding - started.ledger.dropped
    )
    return FinetuneReport(
        output_dir=started.output_dir,
        steps=fact.steps,
        epochs=tokens / rows_tokens,
        seconds=seconds,
        tokens_per_second=tokens / seconds if seconds else 0.0,
        peak_memory_bytes=peak_bytes(),
        losses=tuple(step.loss for step in steps),
        learning_rates=tuple(step.learning_rate for step in steps),
        choices=tuple(run.additions.choices),
        topics=tuple(run.additions.topics),
        validations=tuple(run.recorder.validations),
        ledger=started.ledger,
        validation_ledger=started.validation_ledger,
        run_ledger=RunLedger(
            steps=fact.steps,
            planned=fact.planned,
            in_loss=fact.in_loss,
            tokens=tokens,
            padding=sum(step.padding for step in steps),
        ),
        trainable_parameters=sum(p.numel() for _, p in trainable(network)),
        parameters=sum(p.numel() for p in network.parameters()),
        objective=started.objective,
        stopped_early=fact.steps < fact.steps_planned,
        predicted=run.forecast.prediction,
        real=None,
        settings=run.config.model_dump(mode="json"),
        sources=run.config.sources,
    )
