"""The loss of rows that are not trained on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from xturing.data.batches import collate
from xturing.data.datasets import BaseDataset
from xturing.data.encoding import encode
from xturing.data.examples import Example
from xturing.models.base import BaseModel
from xturing.models.loss import supervised_losses
from xturing.train.row_losses import RowLosses

NO_LIMIT = 2**31 - 1


@dataclass(frozen=True)
class HeldOutLoss:
    """A total over learnt tokens, whatever the batches they came in."""

    nats: float
    """Sum of their losses."""
    tokens: int
    rows: RowLosses = field(compare=False, repr=False)
    """The same by row."""

    @property
    def mean(self) -> float:
        """Nats per token."""
        return self.nats / self.tokens

    @property
    def perplexity(self) -> float:
        """exp(nats per token)."""
        # A hopeless model's perplexity is beyond what a float holds.
        return math.exp(self.mean) if self.mean < 700 else math.inf


def held_out_loss(
    model: Any, examples: Sequence[Example], *, pad_id: int, batch_size: int
) -> HeldOutLoss:
    """Return the loss of the examples, without gradients and without dropout.

    `model` is a torch model; it is left in the mode it was in.
    """
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    by_length = sorted(examples, key=len)
    rows = RowLosses()
    try:
        with torch.inference_mode():
            for start in range(0, len(by_length), batch_size):
                chosen = by_length[start : start + batch_size]
                batch = collate(chosen, pad_id)
                losses = supervised_losses(
                    model,
                    torch.from_numpy(batch.input_ids).to(device),
                    torch.from_numpy(batch.labels).to(device),
                    torch.from_numpy(batch.attention_mask).to(device),
                )
                rows.add(chosen, losses.double().cpu().numpy())
    finally:
        model.train(was_training)
    return HeldOutLoss(float(rows.nats.sum()), int(rows.tokens.sum()), rows)


def perplexity(model: BaseModel, dataset: BaseDataset, *, batch_size: int) -> float:
    """Return the perplexity of a dataset's learnt tokens.

    Raises:
        DataError: a row has more tokens than the model can read.
    """
    limit = model.engine.context_length or NO_LIMIT
    encoded = encode(dataset, model.engine.tokenizer, max_length=limit)
    return held_out_loss(
        model.engine.model,
        encoded.examples,
        pad_id=model.engine.pad_id,
        batch_size=batch_size,
    ).perplexity
