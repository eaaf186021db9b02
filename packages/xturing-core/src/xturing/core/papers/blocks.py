"""What a paper is made of, whatever it is written in."""

from dataclasses import dataclass

from xturing.core.papers.bars import Bar
from xturing.core.papers.curves import Line


@dataclass(frozen=True)
class Paragraph:
    """Words of our own or a user's; none of them is markup."""

    text: str


@dataclass(frozen=True)
class Quote:
    """Words that are shown as they stand, line breaks included."""

    title: str
    text: str


@dataclass(frozen=True)
class Table:
    """Rows of cells."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Curves:
    """Lines over the same axes."""

    title: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Bars:
    """Numbers with their intervals, along one axis from 0."""

    title: str
    label: str
    """Of the axis."""
    bars: tuple[Bar, ...]


Block = Paragraph | Quote | Table | Curves | Bars


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: tuple[Block, ...]
