"""The cross-entropy of a model's head, some positions at a time.

A row of logits is as wide as the vocabulary, so those of a whole batch would be its
largest tensor by far. Here no more of them exist at once than fit into `CHUNK_BYTES`,
and while the head is frozen, their gradient is taken as soon as they are there, so that
none is kept or made twice.
"""

from collections.abc import Iterator
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


@torch.no_grad()
def head_scores(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    owners: Tensor,
    targets: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return each target's loss, and whether no token has a higher logit.

    `owners` has the index of the position that each target comes after. It and
    `targets` have the shape (targets,), as both that is returned; the others are those
    of `head_losses`.
    """
    losses = hidden.new_empty(len(targets), dtype=torch.float32)
    is_likeliest = torch.empty_like(targets, dtype=torch.bool)
    for place in _places(hidden, weight):
        logits = functional.linear(hidden[place], weight, bias).float()
        here = (owners >= place.start) & (owners < place.stop)
        losses[here], is_likeliest[here] = logit_scores(
            logits, owners[here] - place.start, targets[here]
        )
    return losses, is_likeliest


def logit_scores(
    logits: Tensor, owners: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor]:
    """Return what `head_scores` does, of logits of shape (positions, vocabulary).

    The logits are overwritten.
    """
    hits = logits[owners, targets]
    largest = logits.amax(-1, keepdim=True)
    sums = logits.sub_(largest).exp_().sum(-1).log_()
    largest = largest[owners, 0]
    return largest + sums[owners] - hits, hits == largest


class _Chunk:
    """The logits of some positions, which become their probabilities in place."""

    def __init__(
        self, place: slice, logits: Tensor, targets: Tensor, smoothing: float
    ) -> None:
        self.place = place
        self._targets = targets[:, None]
        self._smoothing = smoothing
        hits = logits.gather(1, self._targets)
        mean = logits.mean(-1, keepdim=True) if smoothing else hits
        # As logsumexp does, but the gradient has use for what it throws away.
        largest = logits.amax(-1, keepdim=True)
        self._powers = logits.sub_(largest).exp_()
        self._sum = self._powers.sum(-1, keepdim=True)
        wanted = (1 - smoothing) * hits + smoothing * mean
        self.losses = (largest + self._sum.log() - wanted)[:, 0]

    def slopes(self) -> Tensor:
        """Return the losses' gradient by the logits, in their place; once."""
        slopes = self._powers.div_(self._sum)
        if self._smoothing:
            slopes -= self._smoothing / slopes.shape[1]
        hit = slopes.new_full(self._targets.shape, self._smoothing - 1)
        return slopes.scatter_add_(1, self._targets, hit)


def _chunks(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    smoothing: float,
) -> Iterator[_Chunk]:
    for place in _places(hidden, weight):
        logits = functional.linear(hidden[place], weight, bias).float()
        yield _Chunk(place, logits, targets[place], smoothing)


def _places(hidden: Tensor, weight: Tensor) -> Iterator[slice]:
    """Yield which positions to make logits of at a time."""
    size = max(CHUNK_BYTES // (4 * len(weight)), 1)
    for start in range(0, len(hidden), size):
        yield slice(start, start + size)


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
            losses[chunk.place] = chunk.losses
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
            losses[chunk.place] = chunk.losses
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
            slopes = chunk.slopes().mul_(by_losses[chunk.place, None]).to(weight.dtype)
            by_hidden[chunk.place] = slopes @ weight
            by_weight.addmm_(slopes.T, hidden[chunk.place].to(weight.dtype))
            if by_bias is not None:
                by_bias += slopes.sum(0)
        return by_hidden, by_weight, by_bias, None, None
