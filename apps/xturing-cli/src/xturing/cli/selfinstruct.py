"""`xturing selfinstruct`: fine-tuning data from seed tasks or documents."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xturing.cli import render
from xturing.cli.json_output import JsonOption, answer
from xturing.cli.output_options import DryRunOption
from xturing.cli.selfinstruct_options import (
    Asked,
    OutputOption,
    asking,
)
from xturing.cli.setting_options import ConfigOption, SetOption, setting_layers
from xturing.core.errors import DataError
from xturing.core.events import Event, Notice, listening
from xturing.core.files import read_json

if TYPE_CHECKING:
    from xturing.selfinstruct import Forecast, Run

app = typer.Typer(
    help="""Make fine-tuning data with a language model.

    Example: xturing selfinstruct from-docs reports --engine openai:gpt-4.1-mini
    """
)


@app.command()
@asking
def generate(
    seeds: Annotated[Path, typer.Argument(help="Seed tasks, one a line.")],
    asked: Asked,
    count: Annotated[
        int | None,
        typer.Option(
            "-n", "--count", min=1, help="How many: instructions to generate."
        ),
    ] = None,
    keep: Annotated[
        int | None,
        typer.Option("--keep", min=1, help="Instructions to keep; all if left out."),
    ] = None,
    output: OutputOption = Path("selfinstruct"),
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a dataset from seed tasks by Self-Instruct.

    The same command goes on with what is in the folder, and pays for nothing twice.
    Example: xturing selfinstruct generate seeds.jsonl --engine openai:gpt-4.1-mini -n 9
    """
    from xturing.selfinstruct import SelfInstructConfig, forecast_generation, read_seeds
    from xturing.selfinstruct import generate as generated

    given = {
        "num_instructions": ("-n", count),
        "num_instructions_for_finetuning": ("--keep", keep),
    }
    resolved = SelfInstructConfig.resolve(*setting_layers(config, settings, given))
    client, terms, tasks = asked.client(), asked.terms(), read_seeds(seeds)
    if dry_run:
        forecast = forecast_generation(tasks, client, resolved, terms)
        _show_forecast(forecast, as_json=as_json)
        return
    run = _with_progress(lambda: generated(tasks, client, output, resolved, terms))
    _show(run, as_json=as_json)


@app.command("from-docs")
@asking
def from_docs(
    folder: Annotated[Path, typer.Argument(help="The documents: a folder or a file.")],
    asked: Asked,
    per_passage: Annotated[
        int | None,
        typer.Option(
            "-n", "--count", min=1, help="How many: questions to ask for a passage."
        ),
    ] = None,
    output: OutputOption = Path("selfinstruct"),
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a dataset of questions that documents answer, each row with its place.

    Example: xturing selfinstruct from-docs reports --engine openai:gpt-4.1-mini
    """
    from xturing.selfinstruct import (
        DocumentsConfig,
        forecast_documents,
        from_documents,
        read_passages,
    )

    given = {"num_samples_per_chunk": ("-n", per_passage)}
    resolved = DocumentsConfig.resolve(*setting_layers(config, settings, given))
    client, terms = asked.client(), asked.terms()
    if dry_run:
        passages, _ = read_passages(folder, resolved)
        forecast = forecast_documents(passages, client, resolved, terms)
        _show_forecast(forecast, as_json=as_json)
        return
    run = _with_progress(
        lambda: from_documents(folder, client, output, resolved, terms)
    )
    _show(run, as_json=as_json)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="The folder of a run.")],
    as_json: JsonOption = False,
) -> None:
    """Write the report of a run anew, from the files in its folder.

    Example: xturing selfinstruct report selfinstruct
    """
    from xturing.selfinstruct import write_card, write_report

    if not (folder / "summary.json").is_file():
        raise DataError(
            f"There is no finished run in {folder}. Name the folder that "
            "`xturing selfinstruct generate` or `from-docs` wrote."
        )
    write_card(folder)
    page = write_report(folder)
    if as_json:
        answer({"report": page, "summary": read_json(folder / "summary.json")})
    else:
        render.say(f"The report is in {page}")


def _with_progress(work: "Callable[[], Run]") -> "Run":
    from xturing.selfinstruct import Answered, StageMoved

    with render.bar("Generating") as bar:
        spent = ""

        def show(event: Event) -> None:
            nonlocal spent
            if isinstance(event, Notice):
                render.note(event.text)
            elif isinstance(event, Answered):
                spent = f", {event.requests} requests{_dollars(event.cost)}"
            elif isinstance(event, StageMoved):
                bar.start(event.total)
                bar.move(
                    event.done,
                    f"{event.stage}: {event.accepted} accepted, "
                    f"{event.rejected} rejected{spent}",
                )

        with listening(show):
            return work()


def _show(run: "Run", *, as_json: bool) -> None:
    if as_json:
        answer(run)
        return
    render.table(
        ["stage", "answers", "found", "accepted"],
        [
            [stage.name, *map(str, (stage.requests, stage.found, stage.accepted))]
            for stage in run.stages
        ],
        numbers=True,
    )
    for reason, count in run.rejected.items():
        render.say(f"{count:>6} left out: {reason}")
    usage = run.usage
    render.say(
        f"{run.requests} requests, {usage.prompt_tokens:,} tokens of prompts and "
        f"{usage.completion_tokens:,} of answers{_dollars(run.cost)}"
    )
    if run.stopped:
        render.say(f"Ended early: {run.stopped}. A higher cap goes on from here.")
    render.say(f"{run.rows} rows are in {run.dataset_file}, the report beside them")


def _show_forecast(forecast: "Forecast", *, as_json: bool) -> None:
    if as_json:
        answer({"dry_run": True, "requests": forecast.requests, **vars(forecast)})
        return
    for stage in forecast.stages:
        render.heading(f"{stage.stage}: about {stage.requests} requests, the first:")
        render.say(stage.prompt)
    usage = forecast.usage
    cost = _dollars(forecast.cost) or ", at a price that is not known here"
    render.say()
    render.say(
        f"About {forecast.requests} requests, {usage.prompt_tokens:,} tokens of "
        f"prompts and {usage.completion_tokens:,} of answers{cost}. Nothing was sent."
    )


def _dollars(cost: float | None) -> str:
    return "" if cost is None else f", ${cost:.4f}"
