"""The rows that curation goes over, once or twice, and never all at the same time."""

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Protocol, TypeVar, runtime_checkable

from xturing.data.datasets import BaseDataset
from xturing.data.records import Placed

Told = TypeVar("Told")


@runtime_checkable
class Recorded(Protocol):
    """What gives its records anew each time it is asked, as streams do."""

    def records(self) -> Iterator[Placed]:
        """Return the records with their places, in order."""
        ...


Rows = BaseDataset | Recorded | Iterable[Placed]
"""A dataset, a stream, or any records with their places."""


def placed(rows: Rows) -> Iterator[Placed]:
    """Yield the records with their places, in order."""
    if isinstance(rows, Recorded):
        yield from rows.records()
    else:
        yield from rows


def rereadable(rows: Rows) -> Rows:
    """Return rows that can be gone over again.

    What can be read only once is held in memory; give a dataset, a stream or a list
    where that would be too much.
    """
    return list(rows) if isinstance(rows, Iterator) else rows


def told(
    rows: Rows, wanted: Collection[int], tell: Callable[[Placed], Told]
) -> dict[int, Told]:
    """Return what `tell` says of the wanted rows, by their index."""
    if not wanted:
        return {}
    return {
        index: tell(row) for index, row in enumerate(placed(rows)) if index in wanted
    }


def places(rows: Rows, wanted: Collection[int]) -> dict[int, str]:
    """Return the places of the wanted rows, by their index."""
    return told(rows, wanted, lambda row: row.place)
