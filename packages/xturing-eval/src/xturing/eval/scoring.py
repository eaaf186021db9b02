"""Log-probabilities of given tokens: the same numbers however they are batched.

Rows of like length go together, logits are made only where a token is scored, and what
several passages begin with is read once, if the model shows that this changes nothing.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xturing.core.errors import SettingsError
from xturing.data.batches import divided
from xturing.eval.passages import (
    PaddingSide,
    Passage,
    RowBatch,
    alike,
    row_of,
    side_by_side,
)
from xturing.models.checkpoint import Checkpoint
from xturing.models.isolation import branching_mask, isolation_obstacle
from xturing.models.loss import target_scores

logger = logging.getLogger(__name__)

TOKENS_AT_ONCE = 2048
"""Tokens of a batch, padding counted; a processor's products are fastest from there."""
SAME = {torch.float32: 1e-3, torch.float64: 1e-6}
"""Nats that a token's loss may differ by when its passage shares a row."""
SAME_IN_HALF = 0.05

Group = tuple[int, ...]
"""Indices of passages that share a row."""


@dataclass(frozen=True, eq=False)
class Scored:
    """What a model makes of a passage's scored tokens, in order."""

    losses: NDArray[np.float64]
    """Minus their log-probabilities in nats, of shape (scored,)."""
    is_likeliest: NDArray[np.bool_]
    """Whether each has the highest probability of all tokens, of shape (scored,)."""

    @property
    def nats(self) -> float:
        """Sum of the losses."""
        return float(self.losses.sum())


class Scorer:
    """Scores passages by a model, which it leaves as it was.

    A batch has at most `tokens_at_once` tokens, padding counted, or `batch_size` rows.
    Neither they nor `padding_side` change what is found. With `shares_rows`, passages
    that begin alike share a row where the model can do so.

    Raises:
        SettingsError: a batch is to have no rows.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        batch_size: int | None = None,
        tokens_at_once: int = TOKENS_AT_ONCE,
        padding_side: PaddingSide = "right",
        shares_rows: bool = True,
    ) -> None:
        if batch_size is not None and batch_size < 1:
            raise SettingsError(f"batch_size is {batch_size}, but is 1 or more.")
        self._checkpoint = checkpoint
        self._batch_size = batch_size
        self._tokens_at_once = tokens_at_once
        self._side: PaddingSide = padding_side
        self._shares_rows = shares_rows

    def plan(self, passages: Sequence[Passage]) -> list[list[Group]]:
        """Return which passages share rows, and which rows share a batch."""
        groups = alike(passages) if self._shares_rows else _apart(passages)
        if any(len(group) > 1 for group in groups) and not self._can_share(
            passages, groups
        ):
            groups = _apart(passages)
        lengths = [len(row_of([passages[i] for i in group])) for group in groups]
        order = sorted(range(len(groups)), key=lambda i: (-lengths[i], groups[i]))
        size = self._batch_size
        parts = (
            divided(order, lengths, self._tokens_at_once)
            if size is None
            else [order[start : start + size] for start in range(0, len(order), size)]
        )
        return [[groups[index] for index in part] for part in parts]

    def score(
        self, passages: Sequence[Passage], groups: Sequence[Group]
    ) -> dict[int, Scored]:
        """Return what comes of one batch of a plan, by the passages' indices."""
        rows = [row_of([passages[index] for index in group]) for group in groups]
        batch = side_by_side(rows, self._checkpoint.pad_id, self._side)
        with _in_evaluation(self._checkpoint.model):
            losses, is_likeliest = self._forward(
                batch, any(r.has_branches for r in rows)
            )
        order = [index for group in groups for index in group]
        ends = np.cumsum([passages[index].is_scored.sum() for index in order])[:-1]
        parts = zip(np.split(losses, ends), np.split(is_likeliest, ends), strict=True)
        return {i: Scored(*part) for i, part in zip(order, parts, strict=True)}

    def score_all(self, passages: Sequence[Passage]) -> list[Scored]:
        """Return what comes of all passages, in order."""
        found: dict[int, Scored] = {}
        for groups in self.plan(passages):
            found |= self.score(passages, groups)
        return [found[index] for index in range(len(passages))]

    def _forward(
        self, batch: RowBatch, has_branches: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        model = self._checkpoint.model
        device = self._checkpoint.device.name

        def tensor(values: NDArray[np.int64]) -> Tensor:
            return torch.from_numpy(values).to(device)

        mask, positions = tensor(batch.attention_mask), None
        if has_branches:
            mask = branching_mask(tensor(batch.branches), self._network.dtype)
        if (has_branches or self._side == "left") and self._takes_positions:
            positions = tensor(batch.positions)
        losses, is_likeliest = target_scores(
            model,
            tensor(batch.input_ids),
            mask,
            positions,
            (tensor(batch.lines), tensor(batch.columns)),
            tensor(batch.targets),
        )
        return losses.double().cpu().numpy(), is_likeliest.cpu().numpy()

    def _can_share(self, passages: Sequence[Passage], groups: Sequence[Group]) -> bool:
        """Tell whether the model can read several passages in a row, by trying it."""
        longest = max(len(passage.ids) for passage in passages)
        obstacle = isolation_obstacle(self._network, longest)
        if obstacle is None and not self._agrees(passages, groups):
            obstacle = "the losses are other ones then"
        if obstacle is not None:
            logger.info("passages do not share rows: %s", obstacle)
        return obstacle is None

    def _agrees(self, passages: Sequence[Passage], groups: Sequence[Group]) -> bool:
        branched = [
            group
            for group in groups
            if row_of([passages[index] for index in group]).has_branches
        ]
        if not branched:
            return True
        group = min(branched, key=lambda g: sum(len(passages[i].ids) for i in g))
        together = self.score(passages, [group])
        alone = self.score(passages, [(index,) for index in group])
        most = SAME.get(self._network.dtype, SAME_IN_HALF)
        return all(
            np.abs(together[index].losses - alone[index].losses).max() <= most
            for index in group
        )

    @property
    def _network(self) -> Any:
        """The model without the wrapper of an adapter."""
        model = self._checkpoint.model
        wrapped = getattr(model, "get_base_model", None)
        return model if wrapped is None else wrapped()

    @cached_property
    def _takes_positions(self) -> bool:
        from inspect import signature

        return "position_ids" in signature(self._network.forward).parameters


def _apart(passages: Sequence[Passage]) -> list[Group]:
    return [(index,) for index in range(len(passages))]


@contextmanager
def _in_evaluation(model: Any) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
