"""`xturing finetune`: rows in, a tuned model out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xturing.cli import render
from xturing.cli.data_options import (
    MapOption,
    ShapeOption,
    SourceOption,
    SplitOption,
    reading,
)
from xturing.cli.model_options import (
    ModelOption,
    TemplateOption,
    WeightsOption,
    open_chosen,
)
from xturing.cli.setting_options import ConfigOption, SetOption, setting_layers
from xturing.core.errors import OutputError
from xturing.core.events import Event, Notice, listening
from xturing.core.files import refuse_used
from xturing.core.quantities import shown_duration
from xturing.core.settings import Layer

if TYPE_CHECKING:
    from xturing.data import BaseDataset, Ledger
    from xturing.models import BaseModel
    from xturing.train import FinetuneReport, RunPlanned, StepEnded


PLACES_SHOWN = 5


def finetune(
    model: ModelOption,
    data: Annotated[
        str, typer.Option("-d", "--data", help="The rows: a file or a folder.")
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A new folder for the result.")
    ] = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    limit: Annotated[
        int | None, typer.Option("--limit", help="Use only the first rows.")
    ] = None,
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
) -> None:
    """Fine-tune a model on your rows, and show what it learnt from them.

    Example: xturing finetune -m smollm2_lora -d rows.jsonl -o tuned --set batch_size=4

    Ctrl-C saves the run; the same command with --resume goes on with it.
    """
    from xturing.data import open_dataset

    chosen = {
        "output_dir": ("-o", output),
        "devices": ("--devices", devices),
        "strategy": ("--strategy", strategy),
        "max_time": ("--max-time", max_time),
        "max_memory": ("--max-memory", max_memory),
    }
    layers = setting_layers(config, settings, chosen)
    check_settings(model, layers)
    if output is not None and not resume:
        _refuse_taken(output)
    options = reading(source, split, shape, columns)
    dataset = open_dataset(data, limit=limit, **options)
    options["split"] = None
    held_out = None if eval_data is None else open_dataset(eval_data, **options)
    render.note(f"{len(dataset)} rows of {data}, read as {dataset.decision}")
    opened = open_chosen(model, weights, chat_template=chat_template)
    for layer in layers:
        opened.configure(finetuning=layer)
    report = run(opened, dataset, held_out, resume=resume)
    render.say()
    render.say(f"Saved to {report.output_dir}. Talk to it:")
    render.say(f"    xturing chat -m {report.output_dir}")
    if report.page is not None:
        render.say(f"Read what it learnt, row by row: {report.page}")


def run(
    model: "BaseModel",
    dataset: "BaseDataset",
    held_out: "BaseDataset | None",
    *,
    resume: bool = False,
) -> "FinetuneReport":
    """Fine-tune under a progress bar, and show the ledger and the outcome."""
    from xturing.train import (
        RunPlanned,
        RunReplanned,
        StepEnded,
        TrainingStarted,
        Validated,
    )

    with render.bar("Training") as bar:
        loss, largest = "", 0

        def show(event: Event) -> None:
            nonlocal loss, largest
            if isinstance(event, TrainingStarted):
                show_ledger(event.ledger, event.validation_ledger)
                bar.start(event.steps)
            elif isinstance(event, RunReplanned):
                bar.start(event.steps)
            elif isinstance(event, RunPlanned):
                show_plan(event)
            elif isinstance(event, Validated):
                loss = f"  held out {event.loss:.3f}"
            elif isinstance(event, StepEnded):
                bar.move(event.step, _state(event) + loss)
                largest = max(largest, event.tokens + event.padding)
            elif said := _said(event):
                render.note(said)

        with listening(show):
            report = model.finetune(dataset, eval_dataset=held_out, resume=resume)
    show_outcome(report, _memory_estimate(model, report, largest))
    return report


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
                f"Stopped after step {event.step}. Go on with the same command and: "
                f"-o {event.folder} --resume"
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


def check_settings(model: str, layers: list[Layer]) -> None:
    """Refuse wrong names and settings before anything slow begins."""
    from xturing.models import FinetuningConfig, Variant

    if Path(model).expanduser().is_dir():
        FinetuningConfig.resolve(*layers)
    else:
        Variant.parse(model).finetuning_config().layered(*layers)
