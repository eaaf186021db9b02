"""The option `--json`: one strict JSON document on the output stream, nothing else."""

import math
from collections.abc import Mapping, Set
from contextlib import ExitStack
from dataclasses import fields, is_dataclass
from numbers import Integral, Real
from typing import Annotated

import typer

from xturing.cli import render


def _set_all_else_aside(context: typer.Context, wanted: bool) -> bool:
    """Have whatever the command says go to the error stream, until it ends."""
    if wanted:
        opened = ExitStack()
        opened.enter_context(render.aside())
        context.call_on_close(opened.close)
    return wanted


JsonOption = Annotated[
    bool,
    typer.Option(
        "--json",
        callback=_set_all_else_aside,
        help="Write what was found as one JSON document, and nothing else.",
    ),
]


def answer(value: object) -> None:
    """Write a command's result as the one document that `--json` asks for."""
    render.document(plain(value))


def plain(value: object) -> object:
    """Return a value as JSON has it; numbers that are none, such as NaN, become null.

    Dataclasses and mappings are objects, sets are sorted, and whatever JSON does not
    know is its text.
    """
    if value is None or isinstance(value, str | bool):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, Set):
        return [plain(each) for each in sorted(value, key=str)]
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return _number(value) if isinstance(value, Real) else str(value)


def _number(value: Real) -> int | float | None:
    if isinstance(value, Integral):
        return int(value)
    return float(value) if math.isfinite(value) else None
