"""The loss of learnt tokens, and of no others.

Logits are made only where a token is to be learnt: a row of logits is as wide as the
vocabulary, so making them for prompts and padding would cost most of a batch's memory.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn import functional

from xturing.core.labels import IGNORE
from xturing.models.cross_entropy import head_losses, head_scores, logit_scores


def supervised_losses(
    model: Any,
    input_ids: Tensor,
    labels: Tensor,
    attention_mask: Tensor,
    position_ids: Tensor | None = None,
    *,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return the loss in nats of each learnt token, of shape (learnt,).

    All arguments have the shape (batch, seq). Labels line up with `input_ids` and are
    shifted here: the logits at a position are for the token after it. Rows of several
    documents have `position_ids`, and what `isolating_mask` makes for them. With
    `label_smoothing`, that share of each target is spread over the vocabulary.
    """
    targets = labels[:, 1:]
    learnt = targets != IGNORE
    positions = functional.pad(learnt, (0, 1))
    found, head = _at(positions, model, input_ids, attention_mask, position_ids)
    if head is not None:
        return head_losses(
            found, head.weight, head.bias, targets[learnt], label_smoothing
        )
    return functional.cross_entropy(
        found.float(),
        targets[learnt],
        reduction="none",
        label_smoothing=label_smoothing,
    )


@torch.no_grad()
def target_scores(
    model: Any,
    input_ids: Tensor,
    attention_mask: Tensor,
    position_ids: Tensor | None,
    positions: tuple[Tensor, Tensor],
    targets: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return each target's loss in nats, and whether it is the likeliest token.

    `positions` are the rows and columns of the tokens after which the targets come, of
    shape (targets,) each, as what is returned; several targets may come after one.
    The other arguments are those of `supervised_losses`.
    """
    width = input_ids.shape[1]
    places, owners = torch.unique(
        positions[0] * width + positions[1], return_inverse=True
    )
    chosen = places // width, places % width
    found, head = _at(chosen, model, input_ids, attention_mask, position_ids)
    if head is not None:
        return head_scores(found, head.weight, head.bias, owners, targets)
    return logit_scores(found.float(), owners, targets)


Positions = Tensor | tuple[Tensor, Tensor]
"""Where in a batch: a mask of shape (batch, seq), or rows and columns."""


def _at(
    positions: Positions,
    model: Any,
    input_ids: Tensor,
    attention_mask: Tensor,
    position_ids: Tensor | None,
) -> tuple[Tensor, Any]:
    """Return hidden states at the positions and the head that they are for.

    Where the head is not the plain last thing that the model does, logits and None.
    """
    inputs = {
        "input_ids": input_ids,
        "attention_mask": _needed(attention_mask),
        "position_ids": position_ids,
        "use_cache": False,
    }
    head = model.get_output_embeddings()
    if _is_plain(head) and _is_last(head, model, input_ids):
        with _left_out(head, positions):
            return model(**inputs).logits, head
    with _logits_where(head, positions):
        return model(**inputs).logits, None


def _needed(attention_mask: Tensor) -> Tensor | None:
    """Return the mask, unless it hides nothing that a causal model could see.

    Padding on the right comes after all tokens that look anywhere. Without a mask,
    attention takes its fastest way, and batches with and without padding go the same.
    """
    if attention_mask.ndim != 2:
        return attention_mask
    is_right = bool((attention_mask[:, 1:] <= attention_mask[:, :-1]).all())
    return None if is_right else attention_mask


def _is_plain(head: Any) -> bool:
    """Tell whether a head does no more than multiply by weights that are all here."""
    return (
        type(head) is torch.nn.Linear
        and "forward" not in vars(head)
        # Shared out over processes, the weights are of another type, or empty.
        and type(head.weight) is torch.nn.Parameter
        and head.weight.shape == (head.out_features, head.in_features)
    )


_known: "WeakKeyDictionary[Any, bool]" = WeakKeyDictionary()
"""Of heads, whether they are the last thing that their models do."""


def _is_last(head: Any, model: Any, input_ids: Tensor) -> bool:
    """Tell whether a model's logits are its head's, neither scaled nor capped."""
    if head not in _known:
        some = input_ids[:, :8]
        everywhere = torch.ones_like(some, dtype=torch.bool)
        device = input_ids.device
        # Trying it must not change what dropout does afterwards.
        with (
            torch.random.fork_rng([device] if device.type == "cuda" else []),
            _left_out(head, everywhere) as chosen,
        ):
            _known[head] = model(input_ids=some, use_cache=False).logits is chosen[0]
    return _known[head]


@contextmanager
def _left_out(head: Any, positions: Positions) -> Iterator[list[Tensor]]:
    """Have the head return what it is given at the positions, and note it."""
    chosen: list[Tensor] = []

    def choose(hidden: Tensor) -> Tensor:
        chosen.append(hidden[positions])
        return chosen[0]

    head.forward = choose
    try:
        yield chosen
    finally:
        del head.forward


@contextmanager
def _logits_where(head: Any, positions: Positions) -> Iterator[None]:
    """Have the head make logits of shape (chosen, vocab), at the chosen positions.

    The head is handed those hidden states alone, so whatever a model does with its
    logits afterwards (scaling, soft caps) is done to them as well.
    """

    def choose(_head: object, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        hidden, *others = given
        return hidden[positions], *others

    hook = head.register_forward_pre_hook(choose)
    try:
        yield
    finally:
        hook.remove()


def trainable(model: Any) -> list[tuple[str, torch.nn.Parameter]]:
    """Return the names and parameters that training changes."""
    return [(name, p) for name, p in model.named_parameters() if p.requires_grad]
