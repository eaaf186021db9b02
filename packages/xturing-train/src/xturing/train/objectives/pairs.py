"""What methods that learn from preferences share: pairs, their batches and lengths."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from xturing.data.batches import Batch, collate
from xturing.data.chat import Tokenizer
from xturing.data.datasets import BaseDataset
from xturing.data.examples import Example
from xturing.data.ledger import Book
from xturing.data.lengths import fit_together
from xturing.data.pairs import encode_pairs
from xturing.models.settings import FinetuningConfig
from xturing.train.objectives.base import Units, filled


@dataclass(frozen=True, eq=False)
class Compared:
    """A pair of answers to one prompt."""

    chosen: Example
    rejected: Example
    reference: tuple[float, ...] = ()
    """Log-probabilities of the two under the reference in nats, if they are kept."""

    def __len__(self) -> int:
        return max(len(self.chosen), len(self.rejected))

    @property
    def row(self) -> int:
        """Index of its row in the dataset."""
        return self.chosen.row

    @property
    def examples(self) -> tuple[Example, ...]:
        """What is scored."""
        return self.chosen, self.rejected

    @property
    def supervised(self) -> int:
        """How many tokens it adds to the loss."""
        return self.chosen.supervised + self.rejected.supervised

    def referred(self, log_probabilities: tuple[float, ...]) -> "Compared":
        """Return the pair with the reference's log-probabilities."""
        return replace(self, reference=log_probabilities)


@dataclass(frozen=True, eq=False)
class PairBatch(Batch):
    """Pairs: all chosen examples, and then all rejected ones in the same order."""

    reference: NDArray[np.float32] | None
    """Log-probabilities of the rows under the reference in nats, if they are kept."""


def encode_compared(
    dataset: BaseDataset, tokenizer: Tokenizer, config: FinetuningConfig
) -> Units:
    """Return preferences as pairs, each kept, cut or left out as a whole.

    Raises:
        DataError: a row is too long, or the chat template does not fit it.
    """
    book = Book()
    pairs = (
        (pair.chosen, pair.rejected)
        for pair in encode_pairs(dataset.records(), tokenizer)
    )
    kept = fit_together(pairs, config.max_length, config.length_policy, book)
    units = tuple(Compared(chosen, rejected) for chosen, rejected in kept)
    return Units(units, filled(book.ledger(), dataset, config.max_length))


def collate_pairs(units: Sequence[Compared], pad_id: int) -> PairBatch:
    """Return pairs as one batch, of two rows each."""
    examples = [unit.chosen for unit in units] + [unit.rejected for unit in units]
    batch = collate(examples, pad_id)
    return PairBatch(
        batch.input_ids, batch.labels, batch.attention_mask, kept_reference(units)
    )


def kept_reference(units: Sequence[Compared]) -> NDArray[np.float32] | None:
    """Return the kept log-probabilities in the order of a batch's rows."""
    kept = [unit.reference for unit in units]
    return np.array(kept, dtype=np.float32).T.ravel() if all(kept) else None
