"""`xturing finetune`: rows in, a tuned model out."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from xturing.cli import render
from xturing.cli.data_encoding import opened
from xturing.cli.data_options import (
    DataOption,
    LimitOption,
    MapOption,
    ShapeOption,
    SourceOption,
    SplitOption,
    reading,
)
from xturing.cli.dry_running import checked_model, checked_rows, show_intent
from xturing.cli.finetune_jobs import FinetuneJob
from xturing.cli.json_output import JsonOption, answer
from xturing.cli.model_options import (
    ModelOption,
    TemplateOption,
    WeightsOption,
    open_chosen,
)
from xturing.cli.model_settings import model_settings
from xturing.cli.output_options import DryRunOption, OptionalFolderOption
from xturing.cli.setting_options import (
    ConfigOption,
    SetOption,
    setting_layers,
    settings_with_sources,
    show_settings,
)
from xturing.core.errors import OutputError
from xturing.core.events import Event, Notice, listening
from xturing.core.files import refuse_used
from xturing.core.quantities import shown_duration
from xturing.core.settings import DEFAULT, Layer

if TYPE_CHECKING:
    from xturing.data import BaseDataset, Ledger
    from xturing.models import BaseModel, FinetuningConfig
    from xturing.train import FinetuneReport, RunPlanned, StepEnded, TrainingStarted


PLACES_SHOWN = 5
LEDGER_ROWS = 20_000
"""Most rows whose tokens a dry run counts."""


def finetune(
    model: ModelOption,
    data: DataOption,
    output: OptionalFolderOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    limit: LimitOption = None,
    eval_data: Annotated[
        str | None, typer.Option("--eval-data", help="Rows to validate on.")
    ] = None,
    weights: WeightsOption = None,
    chat_template: TemplateOption = None,
    source: SourceOption = None,
    split: SplitOption = None,
    shape: ShapeOption = None,
    columns: MapOption = None,
    devices: Annotated[
        str | None, typer.Option("--devices", help="Processes, or GPUs: 2, or auto.")
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option("--strategy", help="ddp, fsdp or deepspeed_stage_1, 2 or 3."),
    ] = None,
    max_time: Annotated[
        str | None,
        typer.Option("--max-time", help="Time for the run, such as 30m or 1h30m."),
    ] = None,
    max_memory: Annotated[
        str | None,
        typer.Option("--max-memory", help="Memory for the run, such as 12GB."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run.")
    ] = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fine-tune a model on your rows, and show what it learnt from them.

    Example: xturing finetune -m smollm2_lora -d rows.jsonl -o tuned --set batch_size=4

    Ctrl-C saves the run; `xturing runs resume` goes on with it, and so does the same
    command with --resume.
    """
    chosen = {
        "output_dir": ("-o", output),
        "devices": ("--devices", devices),
        "strategy": ("--strategy", strategy),
        "max_time": ("--max-time", max_time),
        "max_memory": ("--max-memory", max_memory),
    }
    layers = setting_layers(config, settings, chosen)
    resolved = check_settings(model, layers)
    if not resume and resolved.sources["output_dir"] != DEFAULT:
        _refuse_taken(Path(resolved.output_dir).expanduser())
    job = FinetuneJob(
        model=model,
        data=data,
        eval_data=eval_data,
        limit=limit,
        weights=weights,
        chat_template=chat_template,
        reading=dict(reading(source, split, shape, columns)),
        layers=tuple(layers),
    )
    if dry_run:
        show_job(job, as_json=as_json)
    else:
        carry_out(job, resume=resume, as_json=as_json)


def carry_out(job: FinetuneJob, *, resume: bool, as_json: bool) -> None:
    """Do what a job asks for, and show what came of it."""
    dataset, held_out = job.datasets()
    render.note(f"{len(dataset)} rows of {job.data}, read as {dataset.decision}")
    opened = open_chosen(job.model, job.weights, chat_template=job.chat_template)
    for layer in job.layers:
        opened.configure(finetuning=layer)
    report = run(opened, dataset, held_out, resume=resume, job=job)
    if as_json:
        answer({**report.as_dict(), "run_ledger": report.run_ledger})
        return
    render.say()
    render.say(f"Saved to {report.output_dir}. Talk to it:")
    render.say(f"    xturing chat -m {report.output_dir}")
    if report.page is not None:
        render.say(f"Read what it learnt, row by row: {report.page}")


def show_job(job: FinetuneJob, *, as_json: bool) -> None:
    """Show what a job would do: with which rows, tokens and settings."""
    model = checked_model(job.model, job.weights)
    dataset, held_out = job.datasets()
    config = check_settings(job.model, job.layers)
    ledger = _ledger(job, dataset, config) if model.is_here else None
    if ledger is not None and not as_json:
        show_ledger(ledger, None)
        render.say()
    facts = {
        **model.facts,
        **checked_rows(dataset),
        "held_out_rows": None if held_out is None else len(held_out),
        "output": config.output_dir,
    }
    if as_json:
        facts["tokens"] = None if ledger is None else ledger.as_dict()
        facts["settings"] = settings_with_sources(config)
    else:
        show_settings(config, only_set=True)
        render.say()
        told = "a part of them" if held_out is None else f"{len(held_out):,}"
        facts["held_out_rows"] = told
    show_intent(facts, as_json=as_json)


def _ledger(
    job: FinetuneJob, dataset: "BaseDataset", config: "FinetuningConfig"
) -> "Ledger | None":
    """Return where every token would go; None if that is not told in a moment.

    Raises:
        DataError: rows are too long for the settings.
    """
    from xturing.data import Book, fit
    from xturing.data.sides import sides

    if len(dataset) > LEDGER_ROWS:
        return None
    tokenizer, _ = opened(job.model, job.weights, job.chat_template, None)
    book = Book()
    examples = [example for _, example in sides(dataset, tokenizer)]
    for _ in fit(examples, config.max_length, config.length_policy, book):
        pass
    return book.ledger()


def run(
    model: "BaseModel",
    dataset: "BaseDataset",
    held_out: "BaseDataset | None",
    *,
    resume: bool = False,
    job: FinetuneJob | None = None,
) -> "FinetuneReport":
    """Fine-tune under a progress bar, and show the ledger and the outcome.

    With a `job`, the run's folder says what was asked.
    """
    with render.bar("Training") as bar, ExitStack() as kept:
        shown = _Shown(bar, job, kept)
        with listening(shown.show):
            report = model.finetune(dataset, eval_dataset=held_out, resume=resume)
    show_outcome(report, _memory_estimate(model, report, shown.largest))
    return report


class _Shown:
    """What a run tells, as a terminal shows it."""

    def __init__(
        self, bar: render.Bar, job: FinetuneJob | None, kept: ExitStack
    ) -> None:
        self._bar, self._job, self._kept = bar, job, kept
        self._loss = ""
        self.largest = 0
        """Tokens of the largest step."""

    def show(self, event: Event) -> None:
        """Show what happened."""
        from xturing.train import (
            RunPlanned,
            RunReplanned,
            StepEnded,
            TrainingStarted,
            Validated,
        )

        match event:
            case TrainingStarted():
                self._begin(event)
            case RunReplanned():
                self._bar.start(event.steps)
            case RunPlanned():
                show_plan(event)
            case Validated():
                self._loss = f"  held out {event.loss:.3f}"
            case StepEnded():
                self._bar.move(event.step, _state(event) + self._loss)
                self.largest = max(self.largest, event.tokens + event.padding)
            case _:
                if said := _said(event):
                    render.note(said)

    def _begin(self, started: "TrainingStarted") -> None:
        if self._job is not None:
            kept = self._job.kept(started.output_dir, started.steps)
            self._kept.enter_context(kept)
        show_ledger(started.ledger, started.validation_ledger)
        self._bar.start(started.steps)


def show_plan(planned: "RunPlanned") -> None:
    """Show what a run with limits is predicted to take, and what was chosen for it."""
    prediction = planned.prediction
    render.heading("Plan")
    render.say(
        f"{prediction.steps:,} steps, {shown_duration(prediction.seconds)} in all, "
        f"at most {prediction.peak_bytes / 1e9:.1f} GB"
    )
    rows = [[each.name, each.value, each.reason] for each in planned.choices]
    render.table(["chosen", "", "because"], rows)


def show_ledger(ledger: "Ledger", held_out: "Ledger | None") -> None:
    """Show where every token of the rows goes."""
    from xturing.data.ledger import PARTS_SHOWN

    rows = []
    for title, part in PARTS_SHOWN:
        count = getattr(ledger, part)
        share = f"{100 * count / ledger.tokens:.1f} %"
        other = f"{getattr(held_out, part):,}" if held_out else "-"
        rows.append([title, f"{count:,}", share, other])
    render.heading("Tokens")
    held_out_rows = f"{held_out.rows} held out" if held_out else "none held out"
    columns = ["", f"{ledger.rows} rows to learn", "share", held_out_rows]
    render.table(columns, rows, numbers=True)
    for told, places in (
        ("left out, too long", ledger.dropped_rows),
        ("cut, too long", ledger.truncated_rows),
        ("divided, too long", ledger.split_rows),
    ):
        for place in places[:PLACES_SHOWN]:
            render.note(f"{told}: {place}")
        if len(places) > PLACES_SHOWN:
            more = len(places) - PLACES_SHOWN
            render.note(f"{told}: {more:,} more rows, named in ledger.json")
    if ledger.ends_lost:
        render.note(f"{ledger.ends_lost:,} cut rows lost their end of turn")


def show_outcome(report: "FinetuneReport", estimated: int | None = None) -> None:
    """Show what the run did, and the peak that was estimated for it in bytes."""
    run = report.run_ledger
    render.heading("Outcome")
    if report.loss_before is not None and report.loss_after is not None:
        change = report.loss_after - report.loss_before
        verdict = "lower" if change < 0 else "NOT lower: the model did not get better"
        render.say(
            f"Held-out loss   {report.loss_before:.4f} -> {report.loss_after:.4f} nats "
            f"a {report.measure} ({verdict})"
        )
    before, after = report.comparison_before, report.comparison_after
    if before is not None and after is not None:
        render.say(
            f"Held-out margin {_number(before.margin)} -> {_number(after.margin)}, "
            f"told right {before.accuracy:.0%} -> {after.accuracy:.0%}"
        )
    if report.verdict is not None:
        low, high = report.verdict.low, report.verdict.high
        render.say(
            f"Verdict         {report.verdict.outcome} (change {low:+.4f} to "
            f"{high:+.4f}, with 95 % confidence)"
        )
    render.say(
        f"In the loss     {run.in_loss:,} tokens in {run.steps} steps, as planned "
        f"({run.planned:,})"
    )
    render.say(
        f"Speed           {report.tokens_per_second:.0f} tokens/s without padding, "
        f"{report.seconds:.0f} s"
    )
    if report.peak_memory_bytes is not None:
        beside = f" (estimated: {estimated / 1e9:.1f} GB)" if estimated else ""
        render.say(f"Peak memory     {report.peak_memory_bytes / 1e9:.1f} GB{beside}")
    if report.predicted is not None and report.real is not None:
        predicted, real = report.predicted, report.real
        render.say(
            f"Against plan    {shown_duration(real.seconds)} of "
            f"{shown_duration(predicted.seconds)}, {real.steps:,} steps of "
            f"{predicted.steps:,}, {real.peak_bytes / 1e9:.1f} GB of "
            f"{predicted.peak_bytes / 1e9:.1f} GB"
        )
    share = 100 * report.trainable_parameters / report.parameters
    render.say(
        f"Trained         {report.trainable_parameters:,} of {report.parameters:,} "
        f"parameters ({share:.1f} %)"
    )


def _memory_estimate(
    model: "BaseModel", report: "FinetuneReport", largest_step: int
) -> int | None:
    """Return the estimated peak in bytes, for the largest step's micro-batches."""
    from xturing.models.estimating import needed_for_training

    steps = report.run_ledger
    tokens = -(-largest_step // report.settings["gradient_accumulation_steps"])
    learnt = tokens * steps.in_loss // max(steps.tokens + steps.padding, 1)
    return needed_for_training(model, tokens, learnt)


def _said(event: Event) -> str | None:
    """Return what to tell of what happened, if anything."""
    from xturing.train import (
        BlocksCompiled,
        CheckpointSaved,
        CheckpointSkipped,
        RunResumed,
        RunStopped,
    )

    match event:
        case Notice():
            return event.text
        case BlocksCompiled():
            return f"Compiled the model's blocks in {event.seconds:.0f} s"
        case CheckpointSaved():
            return f"Saved a checkpoint: {event.path}"
        case CheckpointSkipped():
            return f"Passed over {event.path}: {event.reason}"
        case RunResumed(path=None):
            return "No whole checkpoint is there: starting from the beginning"
        case RunResumed():
            return f"Going on after step {event.step}, from {event.path}"
        case RunStopped():
            return (
                f"Stopped after step {event.step}. Go on with: xturing runs resume "
                f"{event.folder}, or the same command and -o {event.folder} --resume"
            )
    return None


def _refuse_taken(output: Path) -> None:
    """Refuse a folder in use before anything slow begins."""
    try:
        refuse_used(output)
    except OutputError as error:
        has_begun = (output / "ledger.json").is_file()
        if has_begun and not (output / "xturing.json").is_file():
            raise OutputError(
                f"{error} Its run was interrupted: --resume goes on with it."
            ) from error
        raise


def _state(step: "StepEnded") -> str:
    state = f"loss {step.loss:.3f}  {step.tokens / step.seconds:.0f} tokens/s"
    if step.comparison is None:
        return state
    margin, accuracy = step.comparison.margin, step.comparison.accuracy
    return f"{state}  margin {_number(margin)}  accuracy {accuracy:.0%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def check_settings(model: str, layers: Sequence[Layer]) -> "FinetuningConfig":
    """Return what a model is tuned with; refuse wrong names and values early."""
    return cast(
        "FinetuningConfig", model_settings(model, "finetuning").layered(*layers)
    )
