"""Fine-tuning: rows in, a tuned model and its report out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from xturing.core.events import Event
from xturing.core.settings import Layer, Settings
from xturing.ui.jobs.progress import Mark, Moved, Note, Point
from xturing.ui.kinds.writing import SOURCE, arguments, assignments, option


class FinetuneWish(Settings):
    """What is to be learnt, by whom, and how."""

    model: str
    """A name, or a saved model's folder."""
    weights: str | None = None
    """Folder, GGUF file or hub id; generic models need it."""
    data: str
    """Rows to learn from."""
    eval_data: str | None = None
    """Rows to validate on."""
    limit: int | None = Field(default=None, gt=0)
    """Use only the first rows."""
    output: str
    """Folder for the result."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Of `FinetuningConfig`; others are the model's own."""


class Finetune:
    """Rows in, a tuned model out."""

    wish = FinetuneWish
    can_go_on = True

    def __init__(self) -> None:
        self._steps = 0

    def run(self, wish: FinetuneWish, *, is_resumed: bool) -> Mapping[str, Any]:
        """Fine-tune, and return what the report says in short."""
        from xturing.data import open_dataset
        from xturing.models import BaseModel, open_model

        rows = open_dataset(wish.data, limit=wish.limit)
        held_out = None if wish.eval_data is None else open_dataset(wish.eval_data)
        if wish.weights is None:
            model = open_model(wish.model)
        else:
            model = BaseModel.create(wish.model, model_name=wish.weights)
        values = {**wish.settings, "output_dir": wish.output}
        model.configure(finetuning=Layer(source=SOURCE, values=values))
        report = model.finetune(rows, eval_dataset=held_out, resume=is_resumed)
        return {
            "output": str(report.output_dir),
            "page": None if report.page is None else str(report.page),
            "loss_before": report.loss_before,
            "loss_after": report.loss_after,
            "verdict": None if report.verdict is None else report.verdict.outcome,
            "steps": report.steps,
            "tokens_per_second": report.tokens_per_second,
            "in_loss": report.run_ledger.in_loss,
        }

    def marks(self, event: Event) -> list[Mark]:
        """Return steps and validations as points of plots, and what else is told."""
        from xturing.train import RunReplanned, StepEnded, TrainingStarted, Validated

        match event:
            case TrainingStarted():
                self._steps = event.steps
                return [Note(text=_planned(event)), Moved(done=0, total=event.steps)]
            case RunReplanned():
                self._steps = event.steps
                return []
            case StepEnded():
                return self._step(event)
            case Validated():
                figures = {"held-out loss": event.loss}
                return [Point(step=event.step, figures=figures)]
        return [Note(text=text) for text in _told(event)]

    def _step(self, event: Any) -> list[Mark]:
        pace = event.tokens / event.seconds
        text = f"loss {event.loss:.4f}, {pace:.0f} tokens/s"
        figures = {"loss": event.loss, "learning rate": event.learning_rate}
        return [
            Point(step=event.step, figures=figures),
            Moved(done=event.step, total=self._steps, text=text),
        ]

    def command(self, wish: FinetuneWish) -> list[str]:
        """Return the command that does the same."""
        return [
            *("xturing", "finetune", "-m", wish.model, "-d", wish.data),
            *option("-o", wish.output),
            *option("--weights", wish.weights),
            *option("--eval-data", wish.eval_data),
            *option("--limit", wish.limit),
            *assignments(wish.settings),
        ]

    def snippet(self, wish: FinetuneWish) -> str:
        """Return the Python that does the same."""
        opened = arguments(model_name=wish.weights)
        create = f"BaseModel.create({wish.model!r}{', ' if opened else ''}{opened})"
        if Path(wish.model).is_dir():
            create = f"BaseModel.load({wish.model!r})"
        limit = f", {arguments(limit=wish.limit)}" if wish.limit else ""
        settings = {**wish.settings, "output_dir": wish.output}
        held_out = ""
        if wish.eval_data is not None:
            held_out = f", eval_dataset=open_dataset({wish.eval_data!r})"
        return "\n".join(
            (
                "from xturing.data import open_dataset",
                "from xturing.models import BaseModel",
                "",
                f"dataset = open_dataset({wish.data!r}{limit})",
                f"model = {create}",
                "config = model.finetuning_config()",
                *(f"config.{name} = {value!r}" for name, value in settings.items()),
                f"report = model.finetune(dataset{held_out})",
                'print(report.loss_before, "->", report.loss_after)',
            )
        )


def _told(event: Event) -> list[str]:
    """Return what people want to know of an event, if anything."""
    from xturing.train import BlocksCompiled, CheckpointSaved, RunResumed, RunStopped

    match event:
        case BlocksCompiled():
            return [f"The model's blocks are compiled, in {event.seconds:.0f} s"]
        case CheckpointSaved():
            return [f"Saved a checkpoint after step {event.step}"]
        case RunResumed():
            return [f"Going on after step {event.step}"]
        case RunStopped():
            return [f"Stopped after step {event.step}, and saved"]
    return []


def _planned(event: Any) -> str:
    ledger = event.ledger
    return (
        f"{event.steps:,} steps over {ledger.rows:,} rows: {ledger.supervised:,} of "
        f"{ledger.tokens:,} tokens are learnt"
    )


KIND = Finetune()
