"""Rows that say the same as an earlier one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xturing.data.curation.passages import passages
from xturing.data.curation.rows import Rows, placed, places, rereadable
from xturing.data.curation.text import Normalisation, digest


@dataclass(frozen=True)
class Copy:
    """A row that an earlier one makes needless."""

    row: int
    place: str
    similarity: float
    """Share of what either of the two rows has that both have; 1 if they are equal."""


@dataclass(frozen=True)
class Cluster:
    """A row that is kept, and those that go because of it."""

    row: int
    place: str
    copies: tuple[Copy, ...]


@dataclass(frozen=True)
class Duplicates:
    """Which rows to keep, and for each of the others the row that is kept for it."""

    kept: tuple[int, ...]
    """What `dataset.select` takes to be rid of the others."""
    clusters: tuple[Cluster, ...]

    @property
    def dropped(self) -> tuple[int, ...]:
        """The rows that are not kept, in order."""
        return tuple(sorted(c.row for cluster in self.clusters for c in cluster.copies))


def find_duplicates(rows: Rows, same: Normalisation | None = None) -> Duplicates:
    """Find rows whose every text is that of an earlier row.

    Roles, tools and which turns are learnt count too. The first row is kept.
    """
    rows = rereadable(rows)
    same = same or Normalisation()
    seen: dict[bytes, int] = {}
    copies: dict[int, list[tuple[int, float]]] = {}
    count = 0
    for index, row in enumerate(placed(rows)):
        first = seen.setdefault(digest(passages(row.record), same), index)
        if first != index:
            copies.setdefault(first, []).append((index, 1.0))
        count = index + 1
    return report(rows, count, copies)


def report(
    rows: Rows, count: int, copies: Mapping[int, Sequence[tuple[int, float]]]
) -> Duplicates:
    """Return what was found in `count` rows: the copies of each row that is kept."""
    dropped = {index for group in copies.values() for index, _ in group}
    place = places(rows, dropped | set(copies))
    clusters = tuple(
        Cluster(
            first,
            place[first],
            tuple(Copy(index, place[index], alike) for index, alike in copies[first]),
        )
        for first in sorted(copies)
    )
    return Duplicates(tuple(i for i in range(count) if i not in dropped), clusters)
