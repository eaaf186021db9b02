"""`xturing migrate`: other programs' settings as a file that `--config` takes."""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from xturing.cli import render
from xturing.cli.json_output import JsonOption, answer
from xturing.cli.migrating import axolotl, llamafactory, predecessor
from xturing.cli.migrating.rules import Migration, Option, Taken
from xturing.cli.model_options import MODEL_HELP, known_models
from xturing.core.errors import DataError, OutputError, UnknownNameError
from xturing.core.files import write_text
from xturing.core.names import suggestion
from xturing.core.settings import read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = ("auto", "xturing", "llamafactory", "axolotl")
FLAGS: dict[Option, str] = {
    "model": "-m",
    "weights": "--weights",
    "data": "-d",
    "split": "--split",
    "eval_data": "--eval-data",
    "limit": "--limit",
    "chat_template": "--chat-template",
    "config": "--config",
    "output": "-o",
}
UNSAID: dict[Option, str] = {"model": "MODEL", "data": "ROWS"}
"""What the command needs, as a place to fill where nothing is known of it."""
DEFAULT_FILE = Path("config.yaml")


def migrate(
    file: Annotated[
        Path, typer.Argument(help="A YAML file, or a script of xTuring 0.1.")
    ],
    program: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="PROGRAM",
            autocompletion=lambda: [*PROGRAMS],
            help="Whose it is: xturing, llamafactory or axolotl; auto looks at it.",
        ),
    ] = "auto",
    model: Annotated[
        str | None,
        typer.Option(
            "-m",
            "--model",
            help=f"{MODEL_HELP} Of a file with several models' settings.",
            autocompletion=known_models,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Where the result goes: a new file."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Turn another program's settings into ours, and say what was not taken over.

    A script is read and never run. Without -o the settings are shown.
    Example: xturing migrate llama3_lora_sft.yaml -o config.yaml
    """
    if output is not None and output.exists():
        raise OutputError(f"{output} is there already. Name a new file.")
    found = read(file, program, model)
    command = command_line(found, output or DEFAULT_FILE)
    text = settings_text(found, file, command)
    if output is not None:
        write_text(output, text)
    if as_json:
        answer(_as_dict(found, command, output))
        return
    if output is None:
        render.say(text.rstrip())
    _tell(found, command, is_shown=output is None)


def read(file: Path, program: str = "auto", model: str | None = None) -> Migration:
    """Return what another program's file comes to.

    Raises:
        DataError: it is none that is known.
        UnknownNameError: there is no such program.
    """
    if program not in PROGRAMS:
        raise UnknownNameError(
            f"There is no program '{program}' to migrate from. "
            f"{suggestion(program, PROGRAMS)}"
        )
    if file.suffix == ".py":
        return predecessor.read_script(_text(file), str(file))
    values = read_yaml(file).values
    match _program(values) if program == "auto" else program:
        case "llamafactory":
            return llamafactory.read(values)
        case "axolotl":
            return axolotl.read(values)
        case _:
            return predecessor.read_settings(values, model)


def command_line(found: Migration, config: Path) -> str:
    """Return what to type to do the same here."""
    own = {"config": Taken(config, "")} if found.settings else {}
    options = {**found.options, **own}
    words = ["xturing", "finetune"]
    for option, flag in FLAGS.items():
        if option in options:
            words += [flag, shlex.quote(str(options[option].value))]
        elif option in UNSAID:
            words += [flag, UNSAID[option]]
    return " ".join(words)


def settings_text(found: Migration, file: Path, command: str) -> str:
    """Return a settings file, each value with where it comes from."""
    lines = [
        f"# From {file.name}, of {found.program}, by `xturing migrate`.",
        f"# Type: {command}",
        "# What is not said here is as the model has it, not as that program had it.",
    ]
    if found.left:
        lines += ["#", "# Not taken over:"]
        lines += [f"#   {line}" for line in _left(found)]
    lines += _values(found)
    if not found.settings:
        lines += ["", "{}"]
    return "\n".join(lines) + "\n"


def _values(found: Migration) -> "Iterator[str]":
    for name, taken in found.settings.items():
        yield ""
        note = f"; {taken.note}" if taken.note else ""
        yield f"# from {taken.origin}{note}"
        yield f"{name}: {json.dumps(taken.value, ensure_ascii=False)}"


def _left(found: Migration) -> list[str]:
    return [
        " ".join(f"{key}: {left.value} ({left.reason})".split())
        for key, left in found.left.items()
    ]


def _program(values: object) -> Literal["xturing", "llamafactory", "axolotl"]:
    """Return whose settings these are, by their names."""
    names = dict(values) if isinstance(values, dict) else {}
    if any(mark in names for mark in axolotl.MARKS):
        return "axolotl"
    if any(mark in names for mark in llamafactory.MARKS):
        return "llamafactory"
    return "xturing"


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataError(f"There is no file {file}.") from None


def _tell(found: Migration, command: str, *, is_shown: bool) -> None:
    """Say what to type, what to know of it, and what was left, if that is not shown."""
    for option, taken in found.options.items():
        if taken.note:
            render.note(f"{FLAGS[option]} {taken.value} is {taken.note}.")
    for line in [] if is_shown else _left(found):
        render.note(f"not taken over: {line}")
    if found.generation:
        chosen = " ".join(
            f"--set {name}={json.dumps(taken.value)}"
            for name, taken in found.generation.items()
        )
        render.note(f"How it wrote: xturing chat -m DIR {chosen}")
    render.note(f"Type: {command}")


def _as_dict(found: Migration, command: str, output: Path | None) -> dict[str, object]:
    return {
        "program": found.program,
        "command": command,
        "output": output,
        **{
            part: {name: each._asdict() for name, each in getattr(found, part).items()}
            for part in ("settings", "options", "generation", "left")
        },
    }
