"""Losses of a batch's learnt tokens, and log-probabilities of its rows' answers."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xturing.core.labels import IGNORE
from xturing.data.batches import Batch
from xturing.models.loss import supervised_losses


def token_losses(model: Any, batch: Batch, label_smoothing: float = 0.0) -> Tensor:
    """Return the loss in nats of each learnt token, of shape (learnt,).

    With `label_smoothing`, that share of each target is spread over the vocabulary.
    """
    device = next(model.parameters()).device
    return supervised_losses(
        model,
        torch.from_numpy(batch.input_ids).to(device),
        torch.from_numpy(batch.labels).to(device),
        torch.from_numpy(batch.attention_mask).to(device),
        label_smoothing=label_smoothing,
    )


@dataclass(frozen=True, eq=False)
class Answers:
    """What a model makes of the answers in a batch, one of them in each row."""

    log_probabilities: Tensor
    """Of the whole answers, in nats, of shape (batch,)."""
    tokens: Tensor
    """How many tokens they have, of shape (batch,)."""

    @property
    def total(self) -> int:
        """How many tokens they have together."""
        return int(self.tokens.sum())

    def halves(self) -> tuple[Tensor, Tensor]:
        """Return the log-probabilities of the first and of the second half, detached.

        A batch of pairs has the chosen answers in the first.
        """
        first, second = self.log_probabilities.detach().chunk(2)
        return first, second

    @property
    def means(self) -> Tensor:
        """Log-probabilities in nats per token, of shape (batch,)."""
        return self.log_probabilities / self.tokens


def score_answers(model: Any, batch: Batch) -> Answers:
    """Return the log-probability of the learnt tokens of each row."""
    losses = token_losses(model, batch)
    rows = torch.from_numpy((batch.labels[:, 1:] != IGNORE).nonzero()[0])
    # A lost or added loss must come out as such, not as an error of indices.
    counted = rows[: len(losses)].to(losses.device)
    zeros = losses.new_zeros(len(batch.labels))
    return Answers(
        zeros.index_add(0, counted, -losses[: len(counted)]),
        zeros.index_add(0, counted, torch.ones_like(losses[: len(counted)])),
    )
