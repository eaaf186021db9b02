"""The loss of rows that are not trained on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from xturing.core.errors import LedgerError
from xturing.data.examples import Example
from xturing.train.objectives.base import Objective
from xturing.train.objectives.comparison import Tally
from xturing.train.objectives.sft import Supervised
from xturing.train.row_losses import RowLosses

NO_LIMIT = 2**31 - 1


@dataclass(frozen=True)
class HeldOutLoss:
    """A total over learnt tokens, whatever the batches they came in."""

    nats: float
    """Sum of their losses."""
    tokens: int

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
    objective = Supervised(pad_id=pad_id)
    found = held_out_score(model, examples, objective, batch_size=batch_size)
    return HeldOutLoss(found.nats, found.weight)


@dataclass(frozen=True)
class HeldOutScore:
    """What an objective makes of held-out rows, whatever the batches they came in."""

    nats: float
    """Sum of losses."""
    weight: int
    """Learnt tokens, pairs or judgements."""
    tally: Tally | None
    rows: RowLosses = field(compare=False, repr=False)
    """The losses by row."""

    @property
    def mean(self) -> float:
        """Nats per learnt token, pair or judgement."""
        return self.nats / self.weight


def held_out_score(
    model: Any, units: Sequence[Any], objective: Objective, *, batch_size: int
) -> HeldOutScore:
    """Return the loss of an objective's units, without gradients and dropout.

    `model` is a torch model; it is left in the mode it was in.

    Raises:
        LedgerError: other tokens entered the loss than the units have.
    """
    was_training = model.training
    model.eval()
    by_length = sorted(units, key=len)
    nats, tally = 0.0, None
    rows = RowLosses.of(max((unit.row for unit in units), default=-1) + 1)
    try:
        with torch.no_grad():
            baseline = objective.baseline(model, by_length)
            for start in range(0, len(by_length), batch_size):
                near = by_length[start : start + batch_size]
                batch = objective.collate(near)
                scored = objective.score(model, batch, baseline)
                _refuse_lost(sum(unit.supervised for unit in near), scored.tokens)
                nats += float(scored.losses.double().sum())
                rows.add(
                    [unit.row for unit in near],
                    [objective.weight([unit]) for unit in near],
                    scored.each.float().cpu().numpy(),
                )
                tally = scored.tally + tally if scored.tally and tally else scored.tally
    finally:
        model.train(was_training)
    return HeldOutScore(nats, objective.weight(by_length), tally, rows)


def _refuse_lost(due: int, came: int) -> None:
    if due != came:
        raise LedgerError(
            f"{due} tokens of held-out rows were to be scored, but {came} entered the "
            "loss. Nothing that is said of these rows can be trusted; please report it "
            "with the model's name."
        )
