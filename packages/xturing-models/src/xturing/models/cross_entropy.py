"""The cross-entropy of a model's head, some positions at a time.

A row of logits is as wide as the vocabulary, so those of a whole batch would be its
largest tensor by far. Here no more of them exist at once than fit into `CHUNK_BYTES`,
and while the head is frozen, their gradient is taken as soon as they are there, so that
none is kept or made twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

CHUNK_BYTES = 2**26
"""Most memory of logits at a time: 341 positions of a vocabulary of 49,152."""


def head_losses(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return `cross_entropy(linear(hidden, weight, bias), targets)` of each position.

    `hidden` has the shape (positions, hidden), `weight` (vocabulary, hidden), `bias`
    (vocabulary,), `targets` and what is returned (positions,). Losses are in nats and
    of single precision. With `label_smoothing`, that share of each target is spread
    over the vocabulary.
    """
    is_frozen = not weight.requires_grad and (bias is None or not bias.requires_grad)
    function: Any = _FrozenHead if is_frozen else _LearningHead
    return function.apply(hidden, weight, bias, targets, label_smoothing)


@dataclass(frozen=True, eq=False)
class _Chunk:
    """The logits of some positions."""

    place: slice
    logits: Tensor
    targets: Tensor
    smoothing: float

    def losses(self) -> Tensor:
        """Return the losses; the logits become log-probabilities."""
        self.logits.sub_(self.logits.logsumexp(-1, keepdim=True))
        hits = self.logits.gather(1, self.targets[:, None])[:, 0]
        if not self.smoothing:
            return -hits
        return -(1 - self.smoothing) * hits - self.smoothing * self.logits.mean(-1)

    def slopes(self) -> Tensor:
        """Return the losses' gradient by the logits, after `losses`, in their place."""
        slopes = self.logits.exp_()
        if self.smoothing:
            slopes -= self.smoothing / slopes.shape[1]
        hit = slopes.new_full((len(slopes), 1), self.smoothing - 1)
        return slopes.scatter_add_(1, self.targets[:, None], hit)


def _chunks(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    smoothing: float,
) -> Iterator[_Chunk]:
    size = max(CHUNK_BYTES // (4 * len(weight)), 1)
    for start in range(0, len(hidden), size):
        place = slice(start, start + size)
        logits = functional.linear(hidden[place], weight, bias).float()
        yield _Chunk(place, logits, targets[place], smoothing)


class _FrozenHead(torch.autograd.Function):
    """Takes the gradient by the hidden states in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        smoothing: float,
    ) -> Tensor:
        losses = hidden.new_empty(len(hidden), dtype=torch.float32)
        is_learning = ctx.needs_input_grad[0]
        gradient = torch.empty_like(hidden) if is_learning else None
        for chunk in _chunks(hidden, weight, bias, targets, smoothing):
            losses[chunk.place] = chunk.losses()
            if gradient is not None:
                slopes = chunk.slopes().to(weight.dtype)
                gradient[chunk.place] = slopes @ weight
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return losses

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, by_losses: Tensor
    ) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        by_hidden = gradient * by_losses.to(gradient.dtype)[:, None]
        return by_hidden, None, None, None, None


class _LearningHead(torch.autograd.Function):
    """Makes the logits again in the backward pass, since the head learns as well."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        smoothing: float,
    ) -> Tensor:
        losses = hidden.new_empty(len(hidden), dtype=torch.float32)
        for chunk in _chunks(hidden, weight, bias, targets, smoothing):
            losses[chunk.place] = chunk.losses()
        ctx.save_for_backward(hidden, weight, bias, targets)
        ctx.smoothing = smoothing
        return losses

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, by_losses: Tensor
    ) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, targets = ctx.saved_tensors
        by_hidden = torch.empty_like(hidden)
        by_weight = torch.zeros_like(weight)
        by_bias = None if bias is None else torch.zeros_like(bias)
        for chunk in _chunks(hidden, weight, bias, targets, ctx.smoothing):
            chunk.losses()
            slopes = chunk.slopes().mul_(by_losses[chunk.place, None]).to(weight.dtype)
            by_hidden[chunk.place] = slopes @ weight
            by_weight.addmm_(slopes.T, hidden[chunk.place].to(weight.dtype))
            if by_bias is not None:
                by_bias += slopes.sum(0)
        return by_hidden, by_weight, by_bias, None, None
