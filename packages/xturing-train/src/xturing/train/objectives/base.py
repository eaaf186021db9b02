"""What a method of training is, as far as the trainer knows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from xturing.core.errors import DataError
from xturing.data.batches import Batch
from xturing.data.chat import Tokenizer
from xturing.data.datasets import BaseDataset
from xturing.data.ledger import Ledger
from xturing.models.settings import FinetuningConfig
from xturing.train.objectives.comparison import Tally


class Unit(Protocol):
    """What is put into batches as a whole: an example, a pair, a judgement."""

    @property
    def row(self) -> int:
        """Index of its row in the dataset."""
        ...

    def __len__(self) -> int:
        """Return the length in tokens of its longest sequence."""
        ...

    @property
    def supervised(self) -> int:
        """How many tokens it adds to the loss."""
        ...


@dataclass(frozen=True)
class Units:
    """The units that a dataset's rows became, and the ledger of their tokens."""

    units: Sequence[Any]
    """Each a `Unit` of the objective that made them."""
    ledger: Ledger


@dataclass(frozen=True, eq=False)
class Scored:
    """What an objective makes of a micro-batch."""

    losses: Tensor
    """In nats; they add up to the micro-batch's part of what is lowered. Of pairs and
    judgements, there is one for each."""
    tokens: int
    """Learnt tokens whose log-probabilities are in the losses."""
    tally: Tally | None = None
    """How wanted answers did against unwanted ones, where there are such."""
    token_losses: Tensor | None = None
    """Supervised fine-tuning: the loss of each learnt token, of shape (learnt,), in
    the order of the batch's units. They are what is lowered, so they are smoothed where
    that is; they need no gradient. None: tokens have no losses of their own."""

    @property
    def each(self) -> Tensor:
        """Loss of each token, pair or judgement, of shape (weight,), detached."""
        found = self.losses if self.token_losses is None else self.token_losses
        return found.detach()


def filled(ledger: Ledger, dataset: BaseDataset, max_length: int) -> Ledger:
    """Return the ledger, if anything is left to learn from.

    Raises:
        DataError: all rows were left out.
    """
    if not ledger.supervised:
        raise DataError(
            f"All {ledger.rows} rows of {dataset.origin} have more than {max_length} "
            "tokens, so none is left to learn from. Set max_length higher."
        )
    return ledger


class Objective(Protocol):
    """What is learnt from which rows.

    The loss of an optimizer step is the sum of its micro-batches' losses over the
    step's weight, so that it is the same however the step is divided.
    """

    @property
    def has_dropout(self) -> bool:
        """Whether the model's dropout is on while this is learnt."""
        ...

    @property
    def sequences_per_unit(self) -> int:
        """How many sequences the model reads for each unit."""
        ...

    def encode(
        self, dataset: BaseDataset, tokenizer: Tokenizer, config: FinetuningConfig
    ) -> Units:
        """Return the rows as units, and book their tokens.

        Raises:
            DataError: a row is too long, or the chat template does not fit it.
        """
        ...

    def prepare(self, model: Any, units: Sequence[Any]) -> Sequence[Any]:
        """Return the units with what the model has to say of them before training."""
        ...

    def collate(self, units: Sequence[Any]) -> Batch:
        """Return units as a batch that `score` takes."""
        ...

    def weight(self, units: Sequence[Any]) -> int:
        """Return by what the sum of these units' losses is divided for their mean."""
        ...

    def baseline(self, model: Any, units: Sequence[Any]) -> float:
        """Return what the losses of a step need to know of all of its units."""
        ...

    def score(self, model: Any, batch: Any, baseline: float) -> Scored:
        """Return the losses of what `collate` gave, with gradients if these are on."""
        ...
