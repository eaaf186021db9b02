"""Odds ratio preference optimization (Hong et al. 2024, arXiv 2403.07691)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
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
from xturing.train.scoring import score_answers

NEAREST_TO_CERTAIN = -1e-12
"""A log-probability of 0 has no odds."""


def log_odds(log_probability: Tensor) -> Tensor:
    """Return log(p / (1 - p)) of log p, finite for p up to 1."""
    given = log_probability.clamp(max=NEAREST_TO_CERTAIN)
    # Each way is exact on one side of p = 1/2, and may have no gradient on the other.
    is_likely = given > -math.log(2)
    likely = torch.where(is_likely, given, -1.0)
    unlikely = torch.where(is_likely, -1.0, given)
    others = torch.where(
        is_likely, torch.log(-torch.expm1(likely)), torch.log1p(-torch.exp(unlikely))
    )
    return given - others


def orpo_losses(chosen: Tensor, rejected: Tensor, *, orpo_lambda: float) -> Tensor:
    """Return the loss of each pair in nats, of shape (pairs,).

    `chosen` and `rejected` are log-probabilities per token, of the same shape:
    -chosen - lambda log sigmoid(log odds of chosen - log odds of rejected), equations
    6 and 7 of the paper.
    """
    ratio = log_odds(chosen) - log_odds(rejected)
    return -chosen - orpo_lambda * functional.logsigmoid(ratio)


@dataclass(frozen=True, kw_only=True)
class OddsRatio:
    """ORPO. Its units are pairs, each of which weighs the same."""

    pad_id: int
    orpo_lambda: float
    # Two answers are compared under one network.
    has_dropout: bool = False
    sequences_per_unit: int = 2

    @classmethod
    def of(cls, config: FinetuningConfig, pad_id: int) -> "OddsRatio":
        """Return the objective that the settings describe."""
        return cls(pad_id=pad_id, orpo_lambda=config.orpo_lambda)

    def encode(
        self, dataset: BaseDataset, tokenizer: Tokenizer, config: FinetuningConfig
    ) -> Units:
        """Return preferences as pairs."""
        return encode_compared(dataset, tokenizer, config)

    def prepare(self, model: Any, units: Sequence[Compared]) -> Sequence[Compared]:
        """Return the pairs as they are: there is no reference."""
        return units

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
        """Return the loss of each pair; its rewards are log odds."""
        answers = score_answers(model, batch)
        chosen, rejected = answers.means.chunk(2)
        losses = orpo_losses(chosen, rejected, orpo_lambda=self.orpo_lambda)
        tally = tally_pairs(
            (log_odds(chosen.detach()), log_odds(rejected.detach())),
            answers.halves(),
        )
        return Scored(losses, answers.total, tally)
