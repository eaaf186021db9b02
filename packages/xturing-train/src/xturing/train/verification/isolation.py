"""Whether a token's loss follows from its own document's earlier tokens alone.

Tokens that must not matter are changed, and the losses of the others looked at.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xturing.core.labels import IGNORE
from xturing.data.batches import Batch
from xturing.train.scoring import token_losses
from xturing.train.verification.subject import Subject, packing_obstacle
from xturing.train.verification.ways import packed_batch, packed_losses

AnyBatch = TypeVar("AnyBatch", bound=Batch)
Places = NDArray[np.bool_]
"""Which tokens of a batch, of shape (batch, seq)."""


@dataclass(frozen=True)
class Probe:
    """Tokens that must not matter to others."""

    name: str
    claim: str
    change: Callable[[Subject], float]
    """Returns the largest change of a loss, over the mean of those that were seen."""
    meaning: str
    """What it means for the user if they do matter."""
    obstacle: Callable[[Subject], str | None] = lambda _: None
    """Returns why it is not possible; None: it is."""


def later_tokens(subject: Subject) -> float:
    """Change the second half of every row, and look at the first."""
    batch = subject.objective.collate(subject.examples)
    lengths = batch.attention_mask.sum(axis=1, keepdims=True)
    places = np.arange(batch.input_ids.shape[1])[None]
    middle = np.maximum(lengths // 2, 2)
    is_later = (places >= middle) & (batch.attention_mask == 1)
    return _change(subject, batch, is_later, seen=places < middle)


def other_rows(subject: Subject) -> float:
    """Change a batch's longest row, and look at the others."""
    batch = subject.objective.collate(subject.examples)
    is_other = np.zeros(batch.input_ids.shape, dtype=bool)
    is_other[batch.attention_mask.sum(axis=1).argmax()] = True
    return _change(subject, batch, is_other, seen=~is_other)


def padding(subject: Subject) -> float:
    """Change what stands in the place of padding, and look at everything else."""
    batch = subject.objective.collate(subject.examples)
    is_padding = batch.attention_mask == 0
    return _change(subject, batch, is_padding, seen=~is_padding)


def other_documents(subject: Subject) -> float:
    """Change the first document of every window, and look at those after it."""
    batch = packed_batch(subject)
    is_first = batch.document_ids == 1
    # A document's first token is not to be told from the document before.
    seen = ~is_first & (batch.position_ids > 0)
    every = _every_token(batch, seen)
    changed = replace(every, input_ids=_others(subject, batch.input_ids, is_first))
    with torch.no_grad():
        before = packed_losses(subject, every)
        return _largest_change(before, packed_losses(subject, changed))


PROBES = (
    Probe(
        name="later tokens",
        claim="no token has a say in the loss of an earlier one",
        change=later_tokens,
        meaning=(
            "The model looks ahead while it is trained, so its loss says nothing about "
            "what it will write. Its attention is broken or not causal."
        ),
    ),
    Probe(
        name="padding",
        claim="padding has no say in any loss",
        change=padding,
        meaning="What fills a batch up changes what is learnt: use batch_size=1.",
        obstacle=lambda subject: (
            "all rows are of one length, so there is no padding"
            if len({len(example) for example in subject.examples}) == 1
            else None
        ),
    ),
    Probe(
        name="other rows",
        claim="no row has a say in the loss of another one",
        change=other_rows,
        meaning="Rows of a batch see each other: use batch_size=1.",
        obstacle=lambda subject: (
            "there is only one row" if len(subject.examples) == 1 else None
        ),
    ),
    Probe(
        name="other documents",
        claim="no document has a say in the loss of another one in its window",
        change=other_documents,
        meaning=(
            "Documents of one window see each other: do not pack rows for this model."
        ),
        obstacle=packing_obstacle,
    ),
)


def _change(subject: Subject, batch: Batch, changed: Places, *, seen: Places) -> float:
    every = _every_token(batch, seen)
    other = replace(every, input_ids=_others(subject, batch.input_ids, changed))
    with torch.no_grad():
        before = token_losses(subject.model, every)
        return _largest_change(before, token_losses(subject.model, other))


def _every_token(batch: AnyBatch, seen: Places) -> AnyBatch:
    """Return the batch with every token as its label that is seen and is no padding."""
    is_learnt = seen & (batch.attention_mask == 1)
    is_learnt[:, 0] = False
    return replace(batch, labels=np.where(is_learnt, batch.input_ids, IGNORE))


def _others(
    subject: Subject, ids: NDArray[np.int64], changed: Places
) -> NDArray[np.int64]:
    """Return the ids with another one, it does not matter which, at some places."""
    known = subject.network.get_input_embeddings().num_embeddings
    return np.where(changed, (ids + known // 2) % known, ids)


def _largest_change(before: Tensor, after: Tensor) -> float:
    change = (before.double() - after.double()).abs().max()
    return float(change / before.double().abs().mean())
