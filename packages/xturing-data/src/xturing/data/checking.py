"""Everything that is wrong with a source, and not its first wrong row alone."""

from collections.abc import Iterator
from dataclasses import dataclass

from xturing.core.errors import DataError
from xturing.data.datasets import every_kind
from xturing.data.shapes import Kind, Shape, read_row, recognise
from xturing.data.sources import Options, Table, open_table
from xturing.data.sources.checks import as_row
from xturing.data.sources.unpacking import MAX_EXPANSION
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
    source: str | None = None,
    split: str | None = None,
    max_expansion: int = MAX_EXPANSION,
    kinds: tuple[Kind, ...] | None = None,
    shown: int = SHOWN,
) -> Problems:
    """Return what is wrong with the rows of `path`, having gone through all of them.

    The arguments are those of `BaseDataset`; `kinds` says what rows may mean, and
    `shown` how many problems are kept word by word.

    Raises:
        DataError: the source cannot be opened.
        UnknownNameError: there is no such source.
    """
    options = Options(split=split, max_expansion=max_expansion, is_streamed=True)
    table = open_table(path, source, options)
    check = _Check(kinds or every_kind())
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

    def __init__(self, kinds: tuple[Kind, ...]) -> None:
        self.kinds = kinds
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
            self.shape = self.shape or recognise(row, self.kinds, place)
            read_row(row, self.shape, place)
        except DataError as error:
            return str(error)
        return None
