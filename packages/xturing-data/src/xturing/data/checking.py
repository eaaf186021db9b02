"""Everything that is wrong with a source, and not its first wrong row alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Unpack

from xturing.core.errors import DataError
from xturing.data.datasets import every_kind
from xturing.data.reading import Reading, ReadingOptions
from xturing.data.shapes import Kind, Shape, read_row
from xturing.data.sources import Table
from xturing.data.sources.checks import as_row
from xturing.data.streams import no_rows

SHOWN = 100
"""Problems that are kept word by word, unless it is said how many."""


@dataclass(frozen=True, kw_only=True)
class Problems:
    """What was found in all rows of a source."""

    origin: str
    read_as: str
    """What the source was taken for, such as "JSON lines"."""
    shape: Shape | None
    """The shape of the first row that has one."""
    rows: int
    """Rows that there are, wrong ones included."""
    total: int
    """Problems that there are; a row has one at most."""
    shown: tuple[str, ...]
    """The first of them."""


def problems(
    path: object,
    *,
    kinds: tuple[Kind, ...] | None = None,
    shown: int = SHOWN,
    **options: Unpack[ReadingOptions],
) -> Problems:
    """Return what is wrong with the rows of `path`, having gone through all of them.

    `kinds` says what rows may mean, and `shown` how many problems are kept word by
    word; the other arguments are those of `BaseDataset`.

    Raises:
        DataError: the source cannot be opened.
        UnknownNameError: there is no such source.
    """
    reading = Reading(**options)
    table = reading.open(path, is_streamed=True)
    check = _Check(kinds or every_kind(), reading)
    first: list[str] = []
    total = 0
    for message in check.messages(table):
        total += 1
        if len(first) < shown:
            first.append(message)
    return Problems(
        origin=table.origin,
        read_as=table.read_as,
        shape=check.shape,
        rows=check.rows,
        total=total,
        shown=tuple(first),
    )


class _Check:
    """A pass over the rows of a table."""

    def __init__(self, kinds: tuple[Kind, ...], reading: Reading) -> None:
        self.kinds = kinds
        self.reading = reading
        self.shape: Shape | None = None
        self.rows = 0

    def messages(self, table: Table) -> Iterator[str]:
        """Yield what is wrong, row by row."""
        try:
            for value, place in table.entries():
                self.rows += 1
                if message := self._message(value, place):
                    yield message
        except DataError as error:
            # What is behind a break in the file cannot be read.
            yield str(error)
        else:
            if not self.rows:
                yield str(no_rows(table))

    def _message(self, value: object, place: str) -> str | None:
        try:
            row = as_row(value, place)
            shape = self.shape or self.reading.shape_of(row, self.kinds, place)
            self.shape = shape
            read_row(row, shape, place)
        except DataError as error:
            return str(error)
        return None
