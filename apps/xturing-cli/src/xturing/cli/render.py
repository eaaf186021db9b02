"""The only place that writes to the terminal."""

import json
import logging
import os
import queue
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from xturing.core.events import Event as Told
from xturing.core.events import Notice, listening

BROKEN_PIPE = 141
"""What shells say of a program whose reader has gone away: 128 and SIGPIPE."""


class _Console(Console):
    """A console that ends the command in silence if nobody reads any more."""

    def on_broken_pipe(self) -> None:
        try:
            super().on_broken_pipe()
        except SystemExit:
            raise SystemExit(BROKEN_PIPE) from None


_console = _Console(highlight=False, soft_wrap=True, emoji=False)
_documents = _Console(highlight=False, soft_wrap=True, emoji=False)
_errors = _Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)

BAR = 50
"""Characters of the longest bar."""


def quiet_libraries() -> None:
    """Keep other libraries' warnings and notes off the terminal, unless debugging."""
    if os.environ.get("XTURING_DEBUG") or "--debug" in sys.argv:
        return
    warnings.simplefilter("ignore")
    logging.basicConfig(level=logging.ERROR)
    for name in (
        *("transformers", "bitsandbytes", "lightning.pytorch"),
        "torch.utils._pytree",
    ):
        logging.getLogger(name).setLevel(logging.ERROR)
    # It sets its own level when it is imported, and writes among a command's answers.
    logging.getLogger("DeepSpeed").addFilter(lambda said: said.levelno >= logging.ERROR)


def quiet_helpers() -> None:
    """Leave the terminal to the first of several processes."""
    for name in ("RANK", "SLURM_PROCID"):
        if os.environ.get(name, "0") != "0":
            _console.quiet = _documents.quiet = _errors.quiet = True


def say(text: str = "", style: str | None = None) -> None:
    """Write a line of plain text."""
    _console.print(text, style=style, markup=False)


@contextmanager
def aside() -> Iterator[None]:
    """Have all but documents go to the error stream while the block runs."""
    _console.stderr = True
    try:
        yield
    finally:
        _console.stderr = False


def document(value: object) -> None:
    """Write a value as a JSON document.

    Raises:
        ValueError: it holds a number that JSON does not have.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    _documents.print(text, markup=False)


def write(text: str) -> None:
    """Write a piece of a line at once, as a model's answer comes in."""
    _console.print(text, end="", markup=False)
    _console.file.flush()


def side_by_side(names: Sequence[str], texts: Sequence[Iterator[str]]) -> list[str]:
    """Show texts in columns while they are written, all at once; return them.

    Without a terminal they stand under one another. Ctrl-C ends them as they are.
    """
    written = ["" for _ in texts]
    told: queue.SimpleQueue[tuple[int, str | BaseException | None]] = (
        queue.SimpleQueue()
    )
    stopped = Event()

    def follow(number: int) -> None:
        try:
            for piece in texts[number]:
                told.put((number, piece))
                if stopped.is_set():
                    break
            told.put((number, None))
        except BaseException as error:  # noqa: BLE001  # raised where it is shown
            told.put((number, error))

    for number in range(len(texts)):
        Thread(target=follow, args=(number,), daemon=True).start()
    with Live(console=_console, auto_refresh=False) as live:
        try:
            for number, text in _until_all_ended(told, len(texts)):
                written[number] += text
                live.update(_columns(names, written), refresh=_console.is_terminal)
        except KeyboardInterrupt:
            stopped.set()
    return written


def _until_all_ended(told: Any, left: int) -> Iterator[tuple[int, str]]:
    while left:
        number, event = told.get()
        if isinstance(event, BaseException):
            raise event
        if event is None:
            left -= 1
        else:
            yield number, event


def _columns(names: Sequence[str], texts: Sequence[str]) -> Table:
    """Return texts in columns of the same width, or one under the other."""
    grid = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    if _console.is_terminal:
        for name in names:
            grid.add_column(name, ratio=1, overflow="fold")
        grid.add_row(*map(Text, texts))
    else:
        grid.show_header = False
        grid.add_column(overflow="fold")
        for name, text in zip(names, texts, strict=True):
            grid.add_row(Text(f"{name} > {text}"))
    return grid


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


@dataclass(frozen=True)
class Ink:
    """How a part of a text is shown: in a style, or else between marks."""

    name: str
    style: str
    marks: tuple[str, str]


def inked(pieces: Iterable[tuple[str, Ink]]) -> None:
    """Write a text of differing parts; without colours, each between its marks."""
    line = Text()
    for text, ink in pieces:
        before, after = ("", "") if _has_colours() else ink.marks
        line.append(f"{before}{text}{after}", style=ink.style)
    _console.print(line)


def histogram(bins: Sequence[tuple[str, int]]) -> None:
    """Write counts as bars under one another."""
    most = max((count for _, count in bins), default=0)
    names = max((len(name) for name, _ in bins), default=0)
    for name, count in bins:
        # What is there is seen, however little it is.
        length = max(round(BAR * count / most), 1) if count else 0
        say(f"{name:>{names}}  {'█' * length} {count:,}")


def _has_colours() -> bool:
    return _console.color_system is not None and not _console.no_color


@contextmanager
def notices() -> Iterator[None]:
    """Show the sentences that libraries tell while they work."""

    def show(event: Told) -> None:
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
