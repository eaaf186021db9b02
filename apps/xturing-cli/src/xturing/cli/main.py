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
    config,
    data,
    doctor,
    estimate,
    evaluation,
    export,
    finetune,
    generate,
    merge,
    migrate,
    models,
    quantize,
    quickstart,
    render,
    runs,
    selfinstruct,
    starting,
    ui,
    verify,
)
from xturing.core.errors import XTuringError

PREDECESSOR = {"model_name_or_path": "model", "model_path": "model"}
"""Options of xTuring 0.1 that are called otherwise now, and still work."""


def _today(name: str) -> str:
    """Return what an option or command is called today."""
    return PREDECESSOR.get(name, name)


EXIT_CODES = (
    "Exit codes: 0 fine; 1 an error, told in a sentence; 2 wrong usage; 3 a condition "
    "is not met, or a result is not good enough; 130 Ctrl-C; 143 SIGTERM; 141 nobody "
    "reads the output any more."
)

app = typer.Typer(
    name="xturing",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": _today,
    },
)
app.command("quickstart")(quickstart.quickstart)
app.command("init")(starting.init)
app.command("finetune")(finetune.finetune)
app.command("verify")(verify.verify)
app.add_typer(evaluation.app, name="eval")
app.command("compare")(evaluation.compare)
app.command("chat")(chat.chat)
app.command("generate")(generate.generate)
app.command("api")(api.api)
app.command("ui")(ui.ui)
app.command("quantize")(quantize.quantize)
app.command("merge")(merge.merge)
app.command("export")(export.export)
app.command("estimate")(estimate.estimate)
app.add_typer(data.app, name="data")
app.add_typer(models.app, name="models")
app.add_typer(config.app, name="config")
app.add_typer(runs.app, name="runs")
app.add_typer(selfinstruct.app, name="selfinstruct")
app.command("migrate")(migrate.migrate)
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
    """Fine-tune open language models on your own machine, and see what they learnt.

    Example: xturing quickstart
    """


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
