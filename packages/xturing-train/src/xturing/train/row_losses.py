"""The loss of each row, from the losses of its tokens."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xturing.core.files import new_file
from xturing.data.datasets import BaseDataset
from xturing.data.examples import Example


class RowLosses:
    """Losses of learnt tokens, summed up by the row that they belong to.

    A row that was divided into several examples is one row here.
    """

    def __init__(self) -> None:
        self.nats: NDArray[np.float64] = np.zeros(0)
        """Sum of each row's losses, of shape (rows,), up to the last row seen."""
        self.tokens: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        """How many there were, of shape (rows,); 0 for rows that were not seen."""

    def add(self, examples: Sequence[Example], losses: NDArray[np.floating]) -> None:
        """Take in the losses of the examples' learnt tokens, in order.

        `losses` has the shape (learnt,). Raises `ValueError` when they are not as many
        as the examples have learnt tokens.
        """
        counts = [example.supervised for example in examples]
        rows = np.repeat([example.row for example in examples], counts)
        if len(rows) != len(losses):
            raise ValueError(f"{len(rows)} learnt tokens, {len(losses)} losses")
        missing = max((example.row for example in examples), default=-1) + 1
        missing -= len(self.nats)
        if missing > 0:
            self.nats = np.pad(self.nats, (0, missing))
            self.tokens = np.pad(self.tokens, (0, missing))
        np.add.at(self.nats, rows, losses.astype(np.float64))
        np.add.at(self.tokens, rows, 1)

    def means(self, rows: int) -> NDArray[np.float64]:
        """Return nats per learnt token of so many rows, NaN where one was not seen."""
        means = np.full(rows, np.nan)
        seen = np.flatnonzero(self.tokens)
        means[seen] = self.nats[seen] / self.tokens[seen]
        return means


class RowHistory:
    """The loss of each training row, every time that it was learnt from."""

    def __init__(self) -> None:
        self._epochs: list[RowLosses] = []

    def add(
        self, epoch: int, examples: Sequence[Example], losses: NDArray[np.floating]
    ) -> None:
        """Take in a micro-batch of an epoch, counted from 0."""
        while len(self._epochs) <= epoch:
            self._epochs.append(RowLosses())
        self._epochs[epoch].add(examples, losses)

    def means(self, rows: int) -> NDArray[np.float64]:
        """Return nats per learnt token, of shape (epochs, rows); NaN: not seen."""
        means = np.full((len(self._epochs), rows), np.nan)
        for epoch, losses in enumerate(self._epochs):
            means[epoch] = losses.means(rows)
        return means


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
