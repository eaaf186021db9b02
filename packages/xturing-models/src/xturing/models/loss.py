"""The loss of learnt tokens, and of no others.

Logits are made only where a token is to be learnt: a row of logits is as wide as the
vocabulary, so making them for prompts and padding would cost most of a batch's memory.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from xturing.core.labels import IGNORE


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
    with _logits_where(model, functional.pad(learnt, (0, 1))):
        logits = model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            use_cache=False,
        ).logits
    return functional.cross_entropy(
        logits.float(),
        targets[learnt],
        reduction="none",
        label_smoothing=label_smoothing,
    )


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
def _logits_where(model: Any, positions: Tensor) -> Iterator[None]:
    """Have the model make logits of shape (chosen, vocab), at the chosen positions.

    The head is handed those hidden states alone, so whatever a model does with its
    logits afterwards (scaling, soft caps) is done to them as well.
    """

    def choose(_head: object, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        hidden, *others = given
        return hidden[positions], *others

    hook = model.get_output_embeddings().register_forward_pre_hook(choose)
    try:
        yield
    finally:
        hook.remove()


def trainable(model: Any) -> list[tuple[str, torch.nn.Parameter]]:
    """Return the names and parameters that training changes."""
    return [(name, p) for name, p in model.named_parameters() if p.requires_grad]
