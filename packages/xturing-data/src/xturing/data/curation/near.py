"""Rows that say almost what another says: MinHash proposes, counting decides.

A row is the set of its shingles. Rows whose MinHash signatures share a band are
compared, and only the true share of common shingles (Jaccard's index) decides: a pair
may be missed, seldom, but none is called alike that is not.

Where more than `HELD` rows share a band, a row is compared with the first of them
alone, so that the work grows with the number of rows and not with its square. Rows
with the very shingles of one that is held are not held beside it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xturing.core.errors import SettingsError
from xturing.data.curation.duplicates import Duplicates, report
from xturing.data.curation.rows import Rows, placed, rereadable
from xturing.data.curation.signatures import (
    PERMUTATIONS,
    Hashes,
    band_keys,
    shingles,
)
from xturing.data.records import Record

RECALL = 0.99
"""Least chance that two rows are compared that are just as alike as the threshold."""
HELD = 64
"""Rows of one bucket that later rows are compared with."""
ROWS_AT_ONCE = 1024


@dataclass(frozen=True, kw_only=True)
class Nearness:
    """When two rows are near-duplicates."""

    threshold: float = 0.8
    """Least share of the shingles of both that both have, above 0 and at most 1."""
    shingle: int = 3
    """Tokens (words and signs) in a shingle."""
    seed: int = 0
    """Chooses the signatures' hash functions, and so which pairs are missed."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise SettingsError(
                f"threshold={self.threshold} is no share of shingles. Give one above 0 "
                "and at most 1; 0.8 is usual."
            )
        if self.shingle < 1 or self.seed < 0:
            raise SettingsError(
                f"shingle={self.shingle} and seed={self.seed}: a shingle has 1 token "
                "or more, and a seed is 0 or more."
            )

    @property
    def bands(self) -> tuple[int, int]:
        """How many bands there are, and how many numbers each has."""
        for width in range(PERMUTATIONS, 1, -1):
            bands = PERMUTATIONS // width
            if 1 - (1 - self.threshold**width) ** bands >= RECALL:
                return bands, width
        return PERMUTATIONS, 1


def find_near_duplicates(rows: Rows, nearness: Nearness | None = None) -> Duplicates:
    """Find rows that are at least as like an earlier row as the threshold.

    The earlier row is one that is kept, the most similar of those; a row is never
    dropped for a likeness to a row that is dropped itself.

    Raises:
        MissingDependencyError: the extra `curation` is not installed.
    """
    rows = rereadable(rows)
    nearness = nearness or Nearness()
    buckets = _buckets(rows, nearness)
    copies: dict[int, list[tuple[int, float]]] = {}
    for row, hashes in _suspects(rows, buckets, nearness):
        near = buckets.near(row, hashes, nearness.threshold)
        if near:
            first, similarity = max(near, key=lambda pair: (pair[1], -pair[0]))
            copies.setdefault(first, []).append((row, similarity))
        else:
            buckets.add(row, hashes)
    return report(rows, len(buckets), copies)


def near_pairs(rows: Rows, nearness: Nearness) -> Iterator[tuple[int, int]]:
    """Yield pairs of near-duplicates, the earlier row first.

    Of rows with the same shingles, the first alone is paired with later ones: whatever
    is linked to the others is linked to it.
    """
    rows = rereadable(rows)
    buckets = _buckets(rows, nearness)
    for row, hashes in _suspects(rows, buckets, nearness):
        near = buckets.near(row, hashes, nearness.threshold)
        for other, _ in near:
            yield other, row
        if all(similarity < 1 for _, similarity in near):
            buckets.add(row, hashes)


class _Buckets:
    """Rows by the bands they share; only rows that share one are held."""

    def __init__(self, keys: NDArray[np.uint64], is_empty: NDArray[np.bool_]) -> None:
        # What bucket a row is in, for each band; -1 where it is alone in it.
        self._numbers = np.full(keys.shape, -1, dtype=np.int64)
        filled = np.flatnonzero(~is_empty)
        for band in range(keys.shape[1]):
            _, numbers, sizes = np.unique(
                keys[filled, band], return_inverse=True, return_counts=True
            )
            numbers[sizes[numbers] == 1] = -1
            self._numbers[filled, band] = numbers
        self.is_suspect: NDArray[np.bool_] = np.any(self._numbers >= 0, axis=1)
        self._rows: dict[tuple[int, int], list[int]] = {}
        self._hashes: dict[int, Hashes] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, row: int, hashes: Hashes) -> None:
        """Hold a row, to be found from now on."""
        for bucket in self._of(row):
            held = self._rows.setdefault(bucket, [])
            if len(held) < HELD:
                held.append(row)
                self._hashes[row] = hashes

    def near(
        self, row: int, hashes: Hashes, threshold: float
    ) -> list[tuple[int, float]]:
        """Return the rows held that are like this one, and how like they are."""
        others = sorted({o for b in self._of(row) for o in self._rows.get(b, ())})
        if not others:
            return []
        alike = _similarities(hashes, [self._hashes[other] for other in others])
        return [
            (other, float(similarity))
            for other, similarity in zip(others, alike, strict=True)
            if similarity >= threshold
        ]

    def _of(self, row: int) -> list[tuple[int, int]]:
        numbers = self._numbers[row].tolist()
        return [(band, number) for band, number in enumerate(numbers) if number >= 0]


def _buckets(rows: Rows, nearness: Nearness) -> _Buckets:
    bands, width = nearness.bands
    keys: list[NDArray[np.uint64]] = [np.empty((0, bands), dtype=np.uint64)]
    empty: list[NDArray[np.bool_]] = [np.empty(0, dtype=np.bool_)]
    for batch in _hashed(rows, nearness):
        keys.append(band_keys(batch, bands, width, nearness.seed))
        empty.append(np.array([not len(hashes) for hashes in batch]))
    return _Buckets(np.concatenate(keys), np.concatenate(empty))


def _suspects(
    rows: Rows, buckets: _Buckets, nearness: Nearness
) -> Iterator[tuple[int, Hashes]]:
    row = 0
    for batch in _hashed(rows, nearness, buckets.is_suspect):
        for hashes in batch:
            if buckets.is_suspect[row]:
                yield row, hashes
            row += 1


def _hashed(
    rows: Rows, nearness: Nearness, wanted: NDArray[np.bool_] | None = None
) -> Iterator[list[Hashes]]:
    """Yield the sorted hashes of each row's shingles; of rows not wanted, none."""
    batch: list[Record | None] = []
    for index, row in enumerate(placed(rows)):
        batch.append(row.record if wanted is None or wanted[index] else None)
        if len(batch) == ROWS_AT_ONCE:
            yield shingles(batch, nearness.shingle)
            batch = []
    if batch:
        yield shingles(batch, nearness.shingle)


def _similarities(own: Hashes, others: Sequence[Hashes]) -> NDArray[np.float64]:
    lengths = np.array([len(other) for other in others])
    flat = np.concatenate(others)
    at = np.searchsorted(own, flat).clip(max=len(own) - 1)
    common = np.add.reduceat(own[at] == flat, np.cumsum(lengths) - lengths, dtype=int)
    return common / (len(own) + lengths - common)
