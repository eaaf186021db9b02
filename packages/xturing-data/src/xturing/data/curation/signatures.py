"""Records as sets of shingles, and the MinHash keys that sets alike have in common.

A shingle is a run of a few tokens in one of a record's texts. System prompts and tools
are left out, since rows share them by design. Knows nothing of which rows are compared.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xturing.core.extras import require
from xturing.data.curation.passages import passages
from xturing.data.curation.text import FOLDED, tokens
from xturing.data.records import Record

PERMUTATIONS = 128
"""Numbers in a signature."""

Hashes = NDArray[np.uint64]


def shingles(batch: Sequence[Record | None], size: int) -> list[Hashes]:
    """Return the sorted hashes of each record's shingles.

    A shingle's hash is made of those of its role and its tokens. A text of fewer
    tokens is one shingle.
    """
    flat: list[str] = []
    roles: list[str] = []
    lengths: list[int] = []
    owners: list[int] = []
    for owner, record in enumerate(batch):
        for role, found in _texts(record) if record else ():
            flat += found
            flat += [""] * (size - len(found))
            roles.append(role)
            lengths.append(max(size, len(found)))
            owners.append(owner)
    if not flat:
        return [np.empty(0, dtype=np.uint64)] * len(batch)
    hashed, of_role = (
        np.array(hashes, dtype=np.uint64)
        for hashes in _minhash().hash_token_sets([flat, roles])
    )
    text = np.repeat(np.arange(len(lengths)), lengths)
    starts = np.flatnonzero(text[: len(text) - size + 1] == text[size - 1 :])
    keys = of_role[text[starts]]
    for offset in range(size):
        keys = _mixed(keys, hashed[starts + offset])
    cuts = np.searchsorted(np.array(owners)[text[starts]], range(1, len(batch)))
    return [np.unique(part) for part in np.split(keys, cuts)]


def _texts(record: Record) -> Iterator[tuple[str, list[str]]]:
    """Yield role and tokens of each text that counts."""
    for passage in passages(record):
        if not passage.is_frame:
            # What is no character (a lone surrogate) cannot be hashed as text.
            text = FOLDED(passage.text).encode(errors="replace").decode()
            if found := tokens(text):
                yield passage.role.encode(errors="replace").decode(), found


def band_keys(
    batch: Sequence[Hashes], bands: int, width: int, seed: int
) -> NDArray[np.uint64]:
    """Return for each set of hashes a key a band; likely the same for sets alike."""
    ends = np.cumsum([0, *(len(hashes) for hashes in batch)], dtype=np.uint64)
    matrix = _minhash().digest_matrix_from_flat_token_hashes(
        np.concatenate(batch), ends, PERMUTATIONS, seed
    )
    signatures = np.array(matrix.to_rows(), dtype=np.uint64)
    cut = signatures[:, : bands * width].reshape(len(batch), bands, width)
    # Keys that meet by chance cost a comparison and no more.
    keys = np.zeros((len(batch), bands), dtype=np.uint64)
    for column in range(width):
        keys = _mixed(keys, cut[:, :, column])
    return keys


def _mixed(keys: NDArray[np.uint64], more: NDArray[np.uint64]) -> NDArray[np.uint64]:
    mixed = (keys ^ more) * np.uint64(0x9E3779B97F4A7C15)
    return mixed ^ (mixed >> np.uint64(29))


def _minhash() -> Any:
    return require("rensa", package="xturing-data", extra="curation").RMinHash
