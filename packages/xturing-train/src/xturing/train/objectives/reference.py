"""Log-probabilities under the model as it was before training: no second model.

A fresh adapter that adds nothing yet is switched off to get the first model back. Of
any other model (all weights are trained, the adapter was trained before, or it started
from the weights' main parts), they are computed once and kept.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xturing.core.events import Notice, tell
from xturing.data.batches import Batch, collate
from xturing.data.examples import Example
from xturing.models.lora import is_adapted
from xturing.train.scoring import score_answers


class Referable(Protocol):
    """A unit whose examples have log-probabilities under the reference."""

    @property
    def examples(self) -> tuple[Example, ...]:
        """What is scored."""
        ...

    def referred(self, log_probabilities: tuple[float, ...]) -> Self:
        """Return the unit with the reference's log-probability of each example."""
        ...


def is_base_when_off(model: Any) -> bool:
    """Tell whether the model without its adapter is what it is with it."""
    return is_adapted(model) and all(
        not parameter.any()
        for name, parameter in model.named_parameters()
        if ".lora_B." in name
    )


def keep_reference(
    model: Any, units: Sequence[Referable], *, pad_id: int, batch_size: int
) -> Sequence[Referable]:
    """Return the units with their log-probabilities, where the model needs them kept.

    In nats of whole answers, with dropout off.
    """
    if is_base_when_off(model):
        return units
    tell(Notice(text=f"Scoring {len(units):,} rows by the model as it is"))
    examples = [example for unit in units for example in unit.examples]
    was_training = model.training
    model.eval()
    try:
        found = iter(log_probabilities(model, examples, pad_id, batch_size))
    finally:
        model.train(was_training)
    return tuple(
        unit.referred(tuple(next(found) for _ in unit.examples)) for unit in units
    )


def reference_of(model: Any, batch: Batch, kept: NDArray[np.float32] | None) -> Tensor:
    """Return the reference's log-probabilities of a batch's rows, of shape (batch,)."""
    if kept is not None:
        return torch.from_numpy(kept).to(next(model.parameters()).device)
    with without_adapter(model):
        return score_answers(model, batch).log_probabilities


@contextmanager
def without_adapter(model: Any) -> Iterator[None]:
    """Have the model be what it was before it got its adapter, without gradients."""
    with torch.no_grad(), model.disable_adapter():
        yield


def log_probabilities(
    model: Any, examples: Sequence[Example], pad_id: int, batch_size: int
) -> list[float]:
    """Return those of the examples' answers in nats, without gradients."""
    order = sorted(range(len(examples)), key=lambda index: len(examples[index]))
    found = [0.0] * len(examples)
    for near in _parts(order, batch_size):
        batch = collate([examples[index] for index in near], pad_id)
        with torch.no_grad():
            values = score_answers(model, batch).log_probabilities.tolist()
        for index, value in zip(near, values, strict=True):
            found[index] = value
    return found


def _parts(order: list[int], size: int) -> Iterable[list[int]]:
    return (order[start : start + size] for start in range(0, len(order), size))
