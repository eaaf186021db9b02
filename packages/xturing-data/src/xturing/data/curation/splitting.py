"""Parts of a dataset that share no question, chosen by what the rows say.

A row's part follows from its content and the seed alone: neither the order of the rows
nor new rows move it.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import inf

from xturing.core.errors import SettingsError
from xturing.data.curation.near import Nearness, near_pairs
from xturing.data.curation.passages import passages, question
from xturing.data.curation.rows import Rows, placed, rereadable
from xturing.data.curation.text import FOLDED, Normalisation, digest


@dataclass(frozen=True)
class Split:
    """The rows of each part, in their order; every row is in exactly one."""

    parts: Mapping[str, tuple[int, ...]]
    """What `dataset.select` takes, by the part's name."""
    groups: int
    """How many groups of rows there are that had to stay together."""


def split(
    rows: Rows,
    shares: Mapping[str, float],
    *,
    seed: int,
    near: Nearness | None = None,
    same: Normalisation = FOLDED,
) -> Split:
    """Split rows into parts of about the given shares, say `{"train": 9, "test": 1}`.

    Rows with the same question (so duplicates too), and texts that are the same, go to
    the same part. With `near`, so do near-duplicates and whatever they are linked to;
    then a new row that is like an old one may move both, and so may the order where
    very many rows are nearly alike (see `near.HELD`). Shares are met on the average,
    not to the row, since each group falls where its content says.

    Raises:
        SettingsError: the shares are not positive numbers.
    """
    if not shares or not all(0 < s < inf for s in shares.values()):
        raise SettingsError(
            f"The shares {dict(shares)} do not split anything. Give each part a "
            'positive share: {"train": 0.9, "test": 0.1}.'
        )
    rows = rereadable(rows) if near else rows
    keys = [
        digest(question(row.record) or passages(row.record), same)
        for row in placed(rows)
    ]
    if near:
        keys = _joined(keys, near_pairs(rows, near))
    bounds = list(accumulate(shares.values()))
    parts: dict[str, list[int]] = {name: [] for name in shares}
    for row, key in enumerate(keys):
        at = _fraction(key, seed) * bounds[-1]
        name = next(
            (name for name, bound in zip(shares, bounds, strict=True) if at < bound),
            list(shares)[-1],
        )
        parts[name].append(row)
    return Split({name: tuple(part) for name, part in parts.items()}, len(set(keys)))


def _joined(keys: Sequence[bytes], pairs: Iterable[tuple[int, int]]) -> list[bytes]:
    """Return for each row the least key of all rows that it is linked to."""
    parent = {key: key for key in keys}

    def root(key: bytes) -> bytes:
        while parent[key] != key:
            parent[key] = key = parent[parent[key]]
        return key

    for first, second in pairs:
        low, high = sorted((root(keys[first]), root(keys[second])))
        parent[high] = low
    return [root(key) for key in keys]


def _fraction(key: bytes, seed: int) -> float:
    """Return where in [0, 1) a key falls."""
    found = hashlib.blake2b(f"{seed}/".encode() + key, digest_size=8).digest()
    return (int.from_bytes(found, "big") >> 11) / 2**53
