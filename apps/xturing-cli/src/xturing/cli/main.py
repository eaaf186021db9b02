"""The command's entry: its subcommands, and how errors are shown.

Nothing heavy is imported before a subcommand runs, so `--help` answers at once.
"""

import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from xturing.cli import (
    api,
    chat,
    data,
    doctor,
    estimate,
    evaluation,
    export,
    finetune,
    generate,
    merge,
    models,
    quantize,
    quickstart,
    render,
    selfinstruct,
    verify,
)
from xturing.core.errors import XTuringError

app = typer.Typer(
    name="xturing",
    help="Fine-tune open models on your own machine, and see what they learnt.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("quickstart")(quickstart.quickstart)
app.command("finetune")(finetune.finetune)
app.command("verify")(verify.verify)
app.add_typer(evaluation.app, name="eval")
app.command("compare")(evaluation.compare)
app.command("chat")(chat.chat)
app.command("generate")(generate.generate)
app.command("api")(api.api)
app.command("quantize")(quantize.quantize)
app.command("merge")(merge.merge)
app.command("export")(export.export)
app.command("estimate")(estimate.estimate)
app.add_typer(data.app, name="data")
app.add_typer(models.app, name="models")
app.add_typer(selfinstruct.app, name="selfinstruct")
app.command("doctor")(doctor.doctor)

DEBUG = "XTURING_DEBUG"


def _show_version(wanted: bool) -> None:
    if wanted:
        render.say(f"xturing {version('xturing-cli')}")
        raise typer.Exit


def _switch_debug_on(wanted: bool) -> None:
    if wanted:
        os.environ[DEBUG] = "1"


@app.callback()
def options(
    debug: Annotated[
        bool,
        typer.Option(
            "--debug", callback=_switch_debug_on, help="Show tracebacks of errors."
        ),
    ] = False,
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version."
        ),
    ] = False,
) -> None:
    """Fine-tune open language models on your own machine, and see what they learnt."""


def run() -> None:
    """Run the command, and show an error as one sentence."""
    render.quiet_libraries()
    render.quiet_helpers()
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        if isinstance(error, XTuringError):
            render.complain(str(error))
        else:
            render.complain(
                f"{type(error).__name__}: {error}. This was not expected; "
                "`xturing --debug …` shows where it happened."
            )
        sys.exit(1)
