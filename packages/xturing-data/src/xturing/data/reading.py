"""What a user may say of data beside where it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

from xturing.data.decisions import recognise
from xturing.data.fields import Row
from xturing.data.shapes import Kind, Shape
from xturing.data.sources import Options, Table, open_table
from xturing.data.sources.unpacking import MAX_EXPANSION


class ReadingOptions(TypedDict, total=False):
    """The fields of `Reading`, as arguments."""

    source: str | None
    split: str | None
    max_expansion: int
    shape: str | None
    columns: Mapping[str, str] | None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How to read what a user gave, where its name and content do not tell."""

    source: str | None = None
    """The name of a source in `xturing.data.sources.SOURCES`."""
    split: str | None = None
    """The part to read where there are several; None for the one to train on."""
    max_expansion: int = MAX_EXPANSION
    """How many times its size a packed file may unpack to."""
    shape: str | None = None
    """The name of a shape in `xturing.data.shapes.SHAPES`."""
    columns: Mapping[str, str] | None = None
    """A shape's column -> what the rows call it: {"instruction": "question"}."""

    def open(self, path: object, *, is_streamed: bool = False) -> Table:
        """Return the rows of `path`; `is_streamed` if few of them may be wanted.

        Raises:
            DataError: nothing reads it.
            UnknownNameError: there is no such source.
        """
        options = Options(
            split=self.split, max_expansion=self.max_expansion, is_streamed=is_streamed
        )
        return open_table(path, self.source, options)

    def shape_of(self, row: Row, kinds: tuple[Kind, ...], place: str) -> Shape:
        """Return the shape of a row.

        Raises:
            DataError: it has none of these kinds, or could have several.
        """
        return recognise(row, kinds, place, shape=self.shape, columns=self.columns)
