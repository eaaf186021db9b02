"""Examples to padded batches, in an order that follows from a seed alone.

Rows of like length go together, so that little is computed for padding. The order of an
epoch is a function of seed and epoch: it needs no state to be repeated or gone on with.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xturing.core.labels import IGNORE
from xturing.data.examples import Example

STEPS_SORTED_TOGETHER = 50
"""Rows are sorted by length within this many steps, so that steps stay random."""


@dataclass(frozen=True)
class Step:
    """The rows of one optimizer step, in micro-batches."""

    micro_batches: tuple[tuple[int, ...], ...]


def plan_epoch(
    lengths: Sequence[int],
    *,
    batch_size: int,
    accumulation: int = 1,
    seed: int,
    epoch: int = 0,
    micro_batch_tokens: int | None = None,
) -> list[Step]:
    """Return the steps of an epoch, each with `batch_size * accumulation` rows.

    Which rows share a step depends on that product alone, not on how it is split into
    micro-batches: of `batch_size` rows, or of as many as `micro_batch_tokens` allows,
    padding counted. A last step may be smaller; it comes at the end.
    """
    step_size = batch_size * accumulation
    generator = random.Random(f"{seed}/{epoch}")
    order = list(range(len(lengths)))
    generator.shuffle(order)
    whole = len(order) - len(order) % step_size
    window = step_size * STEPS_SORTED_TOGETHER
    steps: list[list[int]] = []
    for start in range(0, whole, window):
        near = order[start : min(start + window, whole)]
        near.sort(key=lengths.__getitem__, reverse=True)
        steps += [near[i : i + step_size] for i in range(0, len(near), step_size)]
    generator.shuffle(steps)
    if whole < len(order):
        rest = sorted(order[whole:], key=lengths.__getitem__, reverse=True)
        steps.append(rest)
    if micro_batch_tokens is not None:
        return [Step(divided(step, lengths, micro_batch_tokens)) for step in steps]
    return [
        Step(tuple(tuple(s[i : i + batch_size]) for i in range(0, len(s), batch_size)))
        for s in steps
    ]


def divided(
    rows: Sequence[int], lengths: Sequence[int], tokens: int
) -> tuple[tuple[int, ...], ...]:
    """Return rows, the longest first, in parts of at most so many tokens with padding.

    A row that is longer makes a part of its own. Otherwise none is left alone at the
    end if another can join it: a batch of one row is the slowest.
    """
    parts: list[list[int]] = []
    for row in rows:
        if parts and lengths[parts[-1][0]] * (len(parts[-1]) + 1) <= tokens:
            parts[-1].append(row)
        else:
            parts.append([row])
    if len(parts) > 1 and len(parts[-1]) == 1 and len(parts[-2]) > 2:
        other = parts[-2][-1]
        if 2 * lengths[other] <= tokens:
            parts[-1].insert(0, parts[-2].pop())
    return tuple(map(tuple, parts))


@dataclass(frozen=True, eq=False)
class Batch:
    """Examples side by side, padded on the right to the longest.

    All arrays have the shape (batch, seq).
    """

    input_ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    """In line with `input_ids`; `IGNORE` where nothing is learnt."""
    attention_mask: NDArray[np.int64]
    """1 for the examples' tokens, 0 for padding."""

    @property
    def supervised(self) -> int:
        """How many tokens are learnt."""
        return int((self.labels != IGNORE).sum())

    @property
    def padding(self) -> int:
        """How many tokens are padding."""
        return int((self.attention_mask == 0).sum())


def collate(examples: Sequence[Example], pad_id: int) -> Batch:
    """Return the examples as one batch.

    Padding is told by its place, never by its id: `pad_id` may be the end token's.
    """
    return collate_rows([(example,) for example in examples], pad_id)


def collate_rows(
    rows: Sequence[Sequence[Example]], pad_id: int, size: int | None = None
) -> Batch:
    """Return rows of one or more examples each, padded to `size` or to the longest."""
    lengths = [sum(len(example) for example in row) for row in rows]
    shape = len(rows), size or max(lengths)
    input_ids = np.full(shape, pad_id, dtype=np.int64)
    labels = np.full(shape, IGNORE, dtype=np.int64)
    attention_mask = np.zeros(shape, dtype=np.int64)
    for line, (row, length) in enumerate(zip(rows, lengths, strict=True)):
        input_ids[line, :length] = np.concatenate([example.ids for example in row])
        labels[line, :length] = np.concatenate([example.labels for example in row])
        attention_mask[line, :length] = 1
    return Batch(input_ids, labels, attention_mask)
