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
from xturing.models.cross_entropy import head_losses


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
    inputs = {
        "input_ids": input_ids,
        "attention_mask": _needed(attention_mask),
        "position_ids": position_ids,
        "use_cache": False,
    }
    head = model.get_output_embeddings()
    if _is_plain(head) and _is_last(head, model, input_ids):
        with _left_out(head, positions):
            hidden = model(**inputs).logits
        return head_losses(
            hidden, head.weight, head.bias, targets[learnt], label_smoothing
        )
    with _logits_where(head, positions):
        logits = model(**inputs).logits
    return functional.cross_entropy(
        logits.float(),
        targets[learnt],
        reduction="none",
        label_smoothing=label_smoothing,
    )


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
def _left_out(head: Any, positions: Tensor) -> Iterator[list[Tensor]]:
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


def isolating_mask(document_ids: Tensor, dtype: torch.dtype) -> Tensor:
    """Return what is added to the attention scores of rows of several documents.

    From `document_ids` of shape (batch, seq), of shape (batch, 1, seq, seq): 0 where a
    token looks at itself or an earlier one of its own document, the lowest number that
    `dtype` has elsewhere. Padding is a document, too: it has to look at something.
    """
    length = document_ids.shape[1]
    same = document_ids[:, :, None] == document_ids[:, None, :]
    earlier = torch.ones(length, length, dtype=torch.bool, device=same.device).tril()
    mask = torch.zeros(same.shape, dtype=dtype, device=same.device)
    return mask.masked_fill(~(same & earlier), torch.finfo(dtype).min)[:, None]


@contextmanager
def _logits_where(head: Any, positions: Tensor) -> Iterator[None]:
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
