"""The only place that writes to the terminal."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from xturing.core.events import Event, Notice, listening

_console = Console(highlight=False, soft_wrap=True, emoji=False)
_errors = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def quiet_libraries() -> None:
    """Keep other libraries' warnings and notes off the terminal, unless debugging."""
    if os.environ.get("XTURING_DEBUG") or "--debug" in sys.argv:
        return
    warnings.simplefilter("ignore")
    logging.basicConfig(level=logging.ERROR)
    for name in ("transformers", "bitsandbytes", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)


def say(text: str = "", style: str | None = None) -> None:
    """Write a line of plain text."""
    _console.print(text, style=style, markup=False)


def write(text: str) -> None:
    """Write a piece of a line at once, as a model's answer comes in."""
    _console.print(text, end="", markup=False)
    _console.file.flush()


def heading(text: str) -> None:
    """Write the title of what follows."""
    _console.print()
    _console.print(text, style="bold", markup=False)


def complain(text: str) -> None:
    """Write an error."""
    _errors.print("error:", style="bold red", end=" ")
    _errors.print(text, markup=False)


def note(text: str) -> None:
    """Write what a user who waits should know."""
    _errors.print(text, style="dim", markup=False)


def table(columns: list[str], rows: list[list[str]], numbers: bool = False) -> None:
    """Write rows under headings; `numbers` go to the right of their columns."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        grid.add_column(
            column, justify="right" if numbers and index else "left", overflow="fold"
        )
    for row in rows:
        grid.add_row(*(cell.replace("[", r"\[") for cell in row))
    _console.print(grid)


@contextmanager
def notices() -> Iterator[None]:
    """Show the sentences that libraries tell while they work."""

    def show(event: Event) -> None:
        if isinstance(event, Notice):
            note(event.text)

    with listening(show):
        yield


class Bar:
    """A progress bar with a text that changes, on the error stream."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def start(self, total: int) -> None:
        """Say how long the work is."""
        self._progress.update(self._task, total=total, visible=True)

    def move(self, done: int, text: str) -> None:
        """Say how far it has come."""
        self._progress.update(self._task, completed=done, text=text)


@contextmanager
def bar(name: str) -> Iterator[Bar]:
    """Show a progress bar while the block runs."""
    columns = (
        TextColumn(name),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[text]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_errors) as progress:
        yield Bar(progress, progress.add_task(name, total=None, visible=False, text=""))
