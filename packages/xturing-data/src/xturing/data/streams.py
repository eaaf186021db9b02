"""Rows that are read and checked as they come, for files bigger than memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from xturing.core.errors import DataError
from xturing.data.reading import Reading
from xturing.data.records import Placed
from xturing.data.shapes import Kind, Shape, read_row, to_record
from xturing.data.sources import Table


@dataclass(frozen=True)
class Stream:
    """Rows of one shape, none of which is held; each pass reads the source anew."""

    table: Table
    shape: Shape

    @property
    def origin(self) -> str:
        """Words for where the rows come from."""
        return self.table.origin

    @property
    def read_as(self) -> str:
        """What the source was taken for."""
        return self.table.read_as

    @property
    def kind(self) -> Kind:
        """What the rows mean."""
        return self.shape.kind

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows in our columns.

        Raises:
            DataError: a row is wrong; the message names file, row and field.
        """
        return (row for row, _ in self._placed())

    def records(self) -> Iterator[Placed]:
        """Yield what each row means, and where it came from.

        Raises:
            DataError: a row is wrong; the message names file, row and field.
        """
        for row, place in self._placed():
            yield Placed(to_record(row, self.kind), place)

    def _placed(self) -> Iterator[tuple[dict[str, Any], str]]:
        for row, place in self.table.rows():
            yield read_row(row, self.shape, place), place


def first_shape(table: Table, kinds: tuple[Kind, ...], reading: Reading) -> Shape:
    """Return the shape of the first row, which is all that is read.

    Raises:
        DataError: there are no rows, or the first fits no shape.
    """
    for row, place in table.rows():
        return reading.shape_of(row, kinds, place)
    raise no_rows(table)


def no_rows(table: Table) -> DataError:
    """Return what to raise where there is nothing to read."""
    return DataError(f"{table.origin} holds no rows.")
