"""Token ids to be scored, and rows of batches that hold them.

Passages that begin alike share a row: its trunk is what they have in common, and each
has a branch of its own. What all begin with is then read once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xturing.data.examples import Example, Part

PaddingSide = Literal["left", "right"]
PADDING = -1
"""The branch of padding, which no token of a passage looks at."""


@dataclass(frozen=True, eq=False)
class Passage:
    """Tokens in order, some of which are scored.

    Both arrays have the shape (seq,). Raises `ValueError` where their lengths differ or
    the first token is to be scored, which nothing comes before.
    """

    ids: NDArray[np.int64]
    is_scored: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.ids.shape != self.is_scored.shape:
            raise ValueError(f"{self.ids.shape} ids, {self.is_scored.shape} marks")
        if not self.is_scored[1:].any() or self.is_scored[0]:
            raise ValueError("of a passage, some tokens after the first are scored")

    @property
    def first(self) -> int:
        """Index of the first token that is scored."""
        return int(self.is_scored.argmax())

    @property
    def last(self) -> int:
        """Index of the last one; the model need not read it, nor what is behind it."""
        return int(np.flatnonzero(self.is_scored)[-1])

    @classmethod
    def of(cls, example: Example, *, with_end: bool = True) -> "Passage":
        """Return a row's tokens, with those scored that are learnt.

        Without `with_end`, the tokens that end answers are not.
        """
        is_scored = example.parts >= Part.ANSWER
        if not with_end:
            is_scored &= example.parts != Part.END
        return cls(example.ids.astype(np.int64), is_scored)

    @classmethod
    def continued(cls, context: Sequence[int], ids: Sequence[int]) -> "Passage":
        """Return a context and what comes after it, of which the latter is scored."""
        both = np.array([*context, *ids], dtype=np.int64)
        return cls(both, np.arange(len(both)) >= len(context))


@dataclass(frozen=True, eq=False)
class Row:
    """A row of a batch: the tokens that a model reads, and those it is to tell.

    The first three have the shape (seq,), the last two (targets,); the targets of the
    passages follow one another.
    """

    ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    """Where each token stands in its passage."""
    branches: NDArray[np.int64]
    """0 for the trunk, or the number of the branch."""
    columns: NDArray[np.int64]
    """The token after which each target comes."""
    targets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def has_branches(self) -> bool:
        """Whether tokens stand side by side that must not look at one another."""
        return bool(self.branches.any())


def row_of(passages: Sequence[Passage]) -> Row:
    """Return the row of passages that are the same up to their first scored token."""
    first = passages[0]
    if len(passages) == 1:
        ids = first.ids[: first.last]
        columns = np.flatnonzero(first.is_scored) - 1
        place = np.arange(len(ids))
        return Row(ids, place, np.zeros_like(ids), columns, first.ids[columns + 1])
    trunk = first.first
    ids = [first.ids[:trunk]]
    positions = [np.arange(trunk)]
    branches = [np.zeros(trunk, dtype=np.int64)]
    columns, targets = [], []
    start = trunk
    for number, passage in enumerate(passages, start=1):
        read = passage.ids[trunk : passage.last]
        places = np.flatnonzero(passage.is_scored)
        # The first target comes after the trunk, the others within the branch.
        columns.append(np.where(places == trunk, trunk, places - trunk + start) - 1)
        targets.append(passage.ids[places])
        ids.append(read)
        positions.append(np.arange(trunk, trunk + len(read)))
        branches.append(np.full(len(read), number))
        start += len(read)
    parts = ids, positions, branches, columns, targets
    return Row(*(np.concatenate(part) for part in parts))


def alike(passages: Sequence[Passage]) -> list[tuple[int, ...]]:
    """Return which passages begin alike, up to their first scored token."""
    groups: dict[bytes, list[int]] = {}
    for index, passage in enumerate(passages):
        groups.setdefault(passage.ids[: passage.first].tobytes(), []).append(index)
    return [tuple(group) for group in groups.values()]


@dataclass(frozen=True, eq=False)
class RowBatch:
    """Rows side by side, padded to the longest.

    The first four have the shape (batch, seq), the others (targets,).
    """

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    positions: NDArray[np.int64]
    branches: NDArray[np.int64]
    lines: NDArray[np.int64]
    """The row of each target."""
    columns: NDArray[np.int64]
    targets: NDArray[np.int64]


def side_by_side(rows: Sequence[Row], pad_id: int, side: PaddingSide) -> RowBatch:
    """Return rows as one batch."""
    shape = len(rows), max(len(row) for row in rows)
    input_ids = np.full(shape, pad_id, dtype=np.int64)
    attention_mask = np.zeros(shape, dtype=np.int64)
    positions = np.zeros(shape, dtype=np.int64)
    branches = np.full(shape, PADDING, dtype=np.int64)
    columns = []
    for line, row in enumerate(rows):
        start = shape[1] - len(row) if side == "left" else 0
        place = slice(start, start + len(row))
        input_ids[line, place] = row.ids
        attention_mask[line, place] = 1
        positions[line, place] = row.positions
        branches[line, place] = row.branches
        columns.append(row.columns + start)
    return RowBatch(
        input_ids=input_ids,
        attention_mask=attention_mask,
        positions=positions,
        branches=branches,
        lines=np.repeat(np.arange(len(rows)), [len(row.targets) for row in rows]),
        columns=np.concatenate(columns),
        targets=np.concatenate([row.targets for row in rows]),
    )
