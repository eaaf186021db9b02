"""The loss of each row, from the losses of what is learnt from it."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xturing.core.files import new_file
from xturing.data.datasets import BaseDataset

Losses = NDArray[np.floating]


class RowLosses:
    """Losses of tokens, pairs or judgements, summed up by the row they belong to.

    A row that was divided into several units is one row here.
    """

    def __init__(self, nats: NDArray[np.float64], counts: NDArray[np.int64]) -> None:
        self.nats = nats
        """Sum of each row's losses, of shape (rows,)."""
        self.counts = counts
        """How many there were, of shape (rows,); 0 for rows that were not seen."""

    @classmethod
    def of(cls, rows: int) -> "RowLosses":
        """Return those of so many rows, none of which was seen yet."""
        return cls(np.zeros(rows), np.zeros(rows, dtype=np.int64))

    def add(self, rows: Sequence[int], counts: Sequence[int], losses: Losses) -> None:
        """Take in losses of shape (losses,), of which `counts` are each row's in turn.

        Raises `ValueError` when they are not as many as the counts say.
        """
        owners = np.repeat(rows, counts)
        if len(owners) != len(losses):
            raise ValueError(f"{len(owners)} losses were due, {len(losses)} came")
        np.add.at(self.nats, owners, losses.astype(np.float64))
        np.add.at(self.counts, owners, 1)

    def means(self) -> NDArray[np.float64]:
        """Return nats per token, pair or judgement, of shape (rows,); NaN: not seen."""
        means = np.full(len(self.nats), np.nan)
        np.divide(self.nats, self.counts, out=means, where=self.counts > 0)
        return means


class RowHistory:
    """The loss of each training row, every time that it was learnt from."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self.epochs: list[RowLosses] = []

    def epoch(self, number: int) -> RowLosses:
        """Return the losses of an epoch, counted from 0."""
        while len(self.epochs) <= number:
            self.epochs.append(RowLosses.of(self._rows))
        return self.epochs[number]

    def __add__(self, other: "RowHistory") -> "RowHistory":
        """Return what two processes have learnt from, together."""
        both = RowHistory(self._rows)
        for number in range(max(len(self.epochs), len(other.epochs))):
            one, two = self.epoch(number), other.epoch(number)
            summed = RowLosses(one.nats + two.nats, one.counts + two.counts)
            both.epochs.append(summed)
        return both

    def means(self) -> NDArray[np.float64]:
        """Return nats per learnt token, of shape (epochs, rows); NaN: not seen."""
        means = [losses.means() for losses in self.epochs]
        return np.array(means).reshape(len(means), self._rows)


def write_row_losses(
    path: Path, means: NDArray[np.float64], dataset: BaseDataset
) -> None:
    """Write the loss of each row and epoch, one JSON object a row.

    `means` has the shape (epochs, rows).
    """
    with new_file(path) as draft, draft.open("w", encoding="utf-8") as file:
        for row, losses in enumerate(means.T):
            line = {
                "row": row,
                "place": dataset.place(row),
                "losses": [None if np.isnan(x) else round(float(x), 6) for x in losses],
            }
            file.write(json.dumps(line) + "\n")
