"""Many short rows in few windows of one length, so that little is computed for padding.

A window tells which of its documents each token belongs to, and where in it the token
stands; a model that heeds both computes for each row what it would for it alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xturing.core.errors import DataError
from xturing.data.batches import Batch, collate_rows
from xturing.data.encoding import Encoded
from xturing.data.examples import Example
from xturing.data.ledger import Ledger, rebooked
from xturing.data.lengths import part_of


@dataclass(frozen=True, eq=False)
class Window:
    """Examples one after the other, together no longer than the windows' size."""

    examples: tuple[Example, ...]

    def __len__(self) -> int:
        return sum(len(example) for example in self.examples)

    @property
    def supervised(self) -> int:
        """How many tokens are learnt."""
        return sum(example.supervised for example in self.examples)


@dataclass(frozen=True, eq=False)
class Packed:
    """The windows that a dataset's examples were put in."""

    windows: tuple[Window, ...]
    size: int
    """Most tokens of a window."""
    ledger: Ledger
    """Where every token went, what the windows leave free booked as padding."""

    @property
    def used(self) -> int:
        """How many tokens the windows hold."""
        return sum(len(window) for window in self.windows)

    @property
    def efficiency(self) -> float:
        """The share of the windows' places that hold a token."""
        return self.used / (len(self.windows) * self.size)


@dataclass(frozen=True, eq=False)
class PackedBatch(Batch):
    """Windows side by side. All arrays have the shape (batch, seq)."""

    document_ids: NDArray[np.int64]
    """1, 2, ... for the documents of each window, 0 for padding."""
    position_ids: NDArray[np.int64]
    """Places within the documents, from 0 in each."""


def pack(encoded: Encoded, size: int) -> Packed:
    """Return the examples in windows of `size` tokens.

    Plain texts are laid end to end, and divided where a window ends; the first token
    after a division is read but not learnt. All else is put whole where the least room
    is left, the longest first, so that no answer is parted from its prompt.

    Raises:
        DataError: an example is longer than a window.
    """
    divisible = [example for example in encoded.examples if example.is_divisible]
    whole = [example for example in encoded.examples if not example.is_divisible]
    longest = max(whole, key=len, default=None)
    if longest is not None and len(longest) > size:
        raise DataError(
            f"{longest.place} has {len(longest)} tokens, which no window of {size} "
            f"holds. Encode with max_length={size} or less, or pack into windows of "
            f"{len(longest)}."
        )
    plan = best_fit([len(example) for example in whole], size)
    windows = tuple(Window(tuple(whole[i] for i in members)) for members in plan)
    windows += _blocks(divisible, size)
    examples = [example for window in windows for example in window.examples]
    padding = len(windows) * size - sum(len(window) for window in windows)
    ledger = rebooked(encoded.ledger, examples).padded(padding)
    return Packed(windows, size, ledger)


def best_fit(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Return the indices that share a window: best fit, in decreasing order of length.

    Takes O(n log n) for the order; the tightest window is found in one step, from a
    number whose bits tell which amounts of room there are.
    """
    windows: list[list[int]] = []
    with_room: list[list[int]] = [[] for _ in range(size + 1)]
    rooms = 0
    for index in np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable"):
        length = lengths[index]
        enough = rooms >> length
        if enough:
            room = length + (enough & -enough).bit_length() - 1
            window = with_room[room].pop()
            if not with_room[room]:
                rooms ^= 1 << room
        else:
            room, window = size, len(windows)
            windows.append([])
        windows[window].append(int(index))
        left = room - length
        with_room[left].append(window)
        rooms |= 1 << left
    return windows


def collate_windows(
    windows: Sequence[Window], pad_id: int, size: int | None = None
) -> PackedBatch:
    """Return windows as one batch, padded to `size` or to the longest of them."""
    rows = [window.examples for window in windows]
    batch = collate_rows(rows, pad_id, size)
    document_ids = np.zeros(batch.input_ids.shape, dtype=np.int64)
    position_ids = np.zeros(batch.input_ids.shape, dtype=np.int64)
    for line, window in enumerate(windows):
        lengths = [len(example) for example in window.examples]
        used = sum(lengths)
        document_ids[line, :used] = np.repeat(np.arange(len(lengths)) + 1, lengths)
        positions = [np.arange(length) for length in lengths]
        position_ids[line, :used] = np.concatenate(positions)
    return PackedBatch(
        batch.input_ids, batch.labels, batch.attention_mask, document_ids, position_ids
    )


def _blocks(examples: Sequence[Example], size: int) -> tuple[Window, ...]:
    windows: list[Window] = []
    pieces: list[Example] = []
    room = size
    for example in examples:
        start = 0
        while start < len(example):
            end = min(start + room, len(example))
            pieces.append(part_of(example, start, end))
            room -= end - start
            start = end
            if not room:
                windows.append(Window(tuple(pieces)))
                pieces, room = [], size
    if pieces:
        windows.append(Window(tuple(pieces)))
    return tuple(windows)
