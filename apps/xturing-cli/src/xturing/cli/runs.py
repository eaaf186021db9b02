"""`xturing runs`: the fine-tuning runs in a folder, and how to go on with one."""

import os
import shutil
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from xturing.cli import render
from xturing.cli.finetune import carry_out
from xturing.cli.finetune_jobs import FinetuneJob
from xturing.cli.json_output import JsonOption, answer
from xturing.cli.output_options import DryRunOption
from xturing.cli.run_folders import (
    LEDGER_FILE,
    PAGE_FILE,
    RunFolder,
    find_runs,
    open_run,
)
from xturing.core.errors import OutputError
from xturing.core.settings import DEFAULT, Layer

app = typer.Typer(
    help="""Find fine-tuning runs, go on with one, or remove one.

    Example: xturing runs list
    """
)

PLACE = "the run's folder"
RunArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="The folder of a run.")
]


@app.command("list")
def list_runs(
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Where to look, and below.")
    ] = Path(),
    as_json: JsonOption = False,
) -> None:
    """List the runs in a folder and below it, and how far each has come.

    Example: xturing runs list experiments
    """
    found = [*find_runs(folder)]
    if as_json:
        answer([run.as_dict() for run in found])
    elif found:
        columns = ["folder", "model", "state", "held-out loss", "last change"]
        render.table(columns, [_cells(run) for run in found])
    else:
        render.say(f"There are no runs in {folder.absolute()}.")


@app.command()
def show(folder: RunArgument, as_json: JsonOption = False) -> None:
    """Show a run's settings, losses, tokens and peak, and where its report is.

    Example: xturing runs show tuned
    """
    run = open_run(folder)
    page = folder / PAGE_FILE
    peak = run.report.get("peak_memory_bytes")
    if as_json:
        told = {"settings": _settings(run), "losses": run.losses, "ledger": run.ledger}
        told |= {"peak_memory_bytes": peak, "report": page if page.is_file() else None}
        answer({**run.as_dict(), **told, "command": run.command})
        return
    render.say(f"{folder}: {run.progress}")
    render.heading("Settings")
    render.table(["setting", "value", "set by"], _set_rows(run))
    render.heading("What came of it")
    for title, text in _facts(run, peak).items():
        render.say(f"{title:<18}{text}")
    if page.is_file():
        render.say(f"{'Report':<18}{page}")
    if run.state == "interrupted":
        render.say()
        render.say(f"Go on with: xturing runs resume {folder}")


@app.command()
def resume(
    folder: RunArgument, dry_run: DryRunOption = False, as_json: JsonOption = False
) -> None:
    """Go on with an interrupted run, with the rows and settings that it was given.

    Example: xturing runs resume tuned
    """
    run = open_run(folder)
    if run.state == "done":
        raise OutputError(
            f"The run in {folder} has ended, so there is nothing to go on with. Talk "
            f"to its model: xturing chat -m {folder}"
        )
    _refuse_running(run)
    job = FinetuneJob.read(folder)
    # A folder may have been moved since.
    place = Layer(source=PLACE, values={"output_dir": str(folder)})
    given = (layer for layer in job.layers if layer.source != PLACE)
    job = replace(job, layers=(*given, place))
    if dry_run:
        facts = {"model": job.model, "rows_of": job.data, "progress": run.progress}
        answer(facts) if as_json else render.say(f"{folder}: {run.progress}")
        return
    carry_out(job, resume=True, as_json=as_json)


@app.command()
def rm(
    folder: RunArgument,
    is_agreed: Annotated[
        bool, typer.Option("--yes", help="Do not ask whether that is meant.")
    ] = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Remove a run's folder with all that is in it: model, checkpoints and reports.

    Example: xturing runs rm tuned
    """
    run = open_run(folder)
    _refuse_running(run)
    _refuse_more_than_a_run(folder)
    count, size = _size(folder)
    what = f"{folder}, {count:,} files with {size / 1e6:,.1f} MB ({run.progress})"
    if dry_run:
        render.say(f"Would remove {what}")
    elif not is_agreed and not typer.confirm(f"Remove {what}?", err=True):
        raise typer.Exit(1)
    else:
        _remove(folder)
        render.say(f"Removed {folder}")
    if as_json:
        answer({"removed": not dry_run, "path": folder, "files": count, "bytes": size})


def _cells(run: RunFolder) -> list[str]:
    losses = run.held_out_losses
    loss = f"{losses[0]:.4f} -> {losses[-1]:.4f}" if losses else "-"
    changed = max(file.stat().st_mtime for file in run.path.iterdir())
    when = f"{datetime.fromtimestamp(changed):%Y-%m-%d %H:%M}"
    return [str(run.path), run.model or "-", run.progress, loss, when]


def _settings(run: RunFolder) -> dict[str, dict[str, object]]:
    """Return the settings that a run was given, each with who set it."""
    values, sources = run.report.get("settings", {}), run.report.get("sources", {})
    if values:
        return {
            name: {"value": values[name], "source": sources.get(name, DEFAULT)}
            for name in values
        }
    return {
        name: {"value": value, "source": layer["source"]}
        for layer in run.command.get("layers", [])
        for name, value in layer["values"].items()
    }


def _set_rows(run: RunFolder) -> list[list[str]]:
    return [
        [name, str(each["value"]), str(each["source"])]
        for name, each in _settings(run).items()
        if each["source"] != DEFAULT
    ]


def _facts(run: RunFolder, peak: int | None) -> dict[str, str]:
    """Return what is known of a run, a line each."""
    rows = run.ledger["training_rows"]
    facts = {"Model": run.model or "-", "Rows": f"{rows['rows']:,}"}
    facts["Tokens"] = f"{rows['tokens']:,}, {rows['supervised']:,} of them learnt"
    if run.losses:
        facts["Loss"] = f"{run.losses[0]:.4f} -> {run.losses[-1]:.4f}"
    if run.held_out_losses:
        first, last = run.held_out_losses[0], run.held_out_losses[-1]
        facts["Held-out loss"] = f"{first:.4f} -> {last:.4f}"
    if peak is not None:
        facts["Peak memory"] = f"{peak / 1e9:.1f} GB"
    return facts


def _refuse_running(run: RunFolder) -> None:
    if run.state == "running":
        raise OutputError(
            f"The run in {run.path} is going on at this moment. Wait for its end, or "
            "stop it first; Ctrl-C saves it."
        )


def _refuse_more_than_a_run(folder: Path) -> None:
    """Raise `OutputError` if more than a run would go with its folder."""
    place = folder.resolve()
    reason = None
    if folder.is_symlink():
        reason = f"it is a link to {place}; name that folder"
    elif Path.cwd().is_relative_to(place):
        reason = "you are in it; leave it first"
    elif (place / ".git").exists():
        reason = "it is a repository, too; remove by hand what is to go"
    elif others := _others_below(place):
        reason = f"there are other runs in it ({others[0]}); remove them first"
    if reason is not None:
        raise OutputError(f"{folder} is not removed: {reason}.")


def _others_below(place: Path) -> list[str]:
    ledgers = place.rglob(LEDGER_FILE)
    return [str(file.parent) for file in ledgers if file.parent != place]


def _size(folder: Path) -> tuple[int, int]:
    files = [each for each in folder.rglob("*") if each.is_file()]
    return len(files), sum(each.stat().st_size for each in files)


def _remove(folder: Path) -> None:
    """Remove a folder; if that is interrupted, what is left is a run no more."""
    place = folder.resolve()
    gone = place.with_name(f".{place.name}.{os.getpid()}.old")
    place.rename(gone)
    shutil.rmtree(gone)
