"""What a run sees of single rows, which its report is made of.

Checkpoints keep it, so that the report of a resumed run is that of a run which nobody
interrupted.
"""

import torch

from xturing.models.generation import Answer
from xturing.train.row_losses import RowHistory, RowLosses
from xturing.train.state import Tensors

BASE = "rows.base"
EPOCH = "rows.epoch."


class Observed:
    """Losses of training rows, and what the base made of held-out ones."""

    def __init__(self, rows: int) -> None:
        self.history = RowHistory(rows)
        """Of training rows that this process learnt from."""
        self.base: RowLosses | None = None
        """Of held-out rows, by the model without what the run teaches."""
        self.latest: RowLosses | None = None
        """Of held-out rows, when they were scored last."""
        self.answers: tuple[Answer, ...] = ()
        """What the base answers to the held-out rows that the report shows."""

    def score(self, rows: RowLosses) -> None:
        """Take in a score of the held-out rows; the first is the base's."""
        if self.base is None:
            self.base = rows
        self.latest = rows

    def tensors(self, history: RowHistory) -> Tensors:
        """Return the losses for a checkpoint, with the history of all processes."""
        tensors: Tensors = {}
        parts = {f"{EPOCH}{n}": each for n, each in enumerate(history.epochs)}
        if self.base is not None:
            parts[BASE] = self.base
        for name, losses in parts.items():
            tensors[f"{name}.nats"] = torch.from_numpy(losses.nats)
            tensors[f"{name}.counts"] = torch.from_numpy(losses.counts)
        return tensors

    def restore(self, tensors: Tensors, answers: tuple[Answer, ...]) -> None:
        """Take up what a checkpoint holds; one process does so for all."""
        self.answers = answers
        if f"{BASE}.nats" in tensors:
            self.base = _losses(tensors, BASE)
        self.history.epochs.clear()
        while f"{EPOCH}{len(self.history.epochs)}.nats" in tensors:
            name = f"{EPOCH}{len(self.history.epochs)}"
            self.history.epochs.append(_losses(tensors, name))


def _losses(tensors: Tensors, name: str) -> RowLosses:
    # Copied, since they go on growing.
    parts = (tensors[f"{name}.{part}"].numpy().copy() for part in ("nats", "counts"))
    return RowLosses(*parts)
