"""Direct preference optimization (Rafailov et al. 2023, arXiv 2305.18290)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional

from xturing.data.chat import Tokenizer
from xturing.data.datasets import BaseDataset
from xturing.models.settings import FinetuningConfig
from xturing.train.objectives.base import Scored, Units
from xturing.train.objectives.comparison import tally_pairs
from xturing.train.objectives.pairs import (
    Compared,
    PairBatch,
    collate_pairs,
    encode_compared,
)
from xturing.train.objectives.reference import keep_reference, reference_of
from xturing.train.scoring import score_answers


def dpo_losses(
    chosen: Tensor, rejected: Tensor, *, beta: float, label_smoothing: float = 0.0
) -> Tensor:
    """Return the loss of each pair in nats, of shape (pairs,).

    `chosen` and `rejected` are log(policy / reference) of whole answers, of the same
    shape: -log sigmoid(beta (chosen - rejected)), equation 7 of the paper. With
    `label_smoothing`, so large a share of the pairs is taken to be the wrong way round
    (Mitchell 2023, "A note on DPO with noisy preferences", equation 3).
    """
    lead = beta * (chosen - rejected)
    right, wrong = functional.logsigmoid(lead), functional.logsigmoid(-lead)
    return -(1 - label_smoothing) * right - label_smoothing * wrong


@dataclass(frozen=True, kw_only=True)
class DirectPreference:
    """DPO. Its units are pairs, each of which weighs the same."""

    pad_id: int
    batch_size: int
    beta: float
    label_smoothing: float = 0.0
    # The reference has none, and two answers are compared under one network.
    has_dropout: bool = False
    sequences_per_unit: int = 2

    @classmethod
    def of(cls, config: FinetuningConfig, pad_id: int) -> "DirectPreference":
        """Return the objective that the settings describe."""
        return cls(
            pad_id=pad_id,
            batch_size=config.batch_size,
            beta=config.beta,
            label_smoothing=config.label_smoothing,
        )

    def encode(
        self, dataset: BaseDataset, tokenizer: Tokenizer, config: FinetuningConfig
    ) -> Units:
        """Return preferences as pairs."""
        return encode_compared(dataset, tokenizer, config)

    def prepare(self, model: Any, units: Sequence[Compared]) -> Sequence[Any]:
        """Return the pairs with the reference's log-probabilities, if to be kept."""
        return keep_reference(
            model, units, pad_id=self.pad_id, batch_size=self.batch_size
        )

    def collate(self, units: Sequence[Compared]) -> PairBatch:
        """Return the chosen examples, and then the rejected ones."""
        return collate_pairs(units, self.pad_id)

    def weight(self, units: Sequence[Compared]) -> int:
        """Return the number of pairs."""
        return len(units)

    def baseline(self, model: Any, units: Sequence[Compared]) -> float:
        """Return nothing of interest: each pair's loss is its own."""
        return 0.0

    def score(self, model: Any, batch: PairBatch, baseline: float) -> Scored:
        """Return each pair's loss; its rewards are beta log(policy / reference)."""
        reference = reference_of(model, batch, batch.reference)
        answers = score_answers(model, batch)
        ours = answers.log_probabilities
        chosen, rejected = (ours - reference).chunk(2)
        losses = dpo_losses(
            chosen, rejected, beta=self.beta, label_smoothing=self.label_smoothing
        )
        tally = tally_pairs(
            (self.beta * chosen.detach(), self.beta * rejected.detach()),
            answers.halves(),
        )
        return Scored(losses, answers.total, tally)
