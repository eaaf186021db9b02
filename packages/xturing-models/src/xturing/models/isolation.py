"""Several texts in one row: masks that keep them apart, and models that heed them."""

import inspect
from typing import Any

import torch
from torch import Tensor

STATES = ("linear_attention", "conv", "mamba", "recurrent", "hybrid")
"""Kinds of layers that carry something from each token to the next."""


def isolating_mask(document_ids: Tensor, dtype: torch.dtype) -> Tensor:
    """Return what is added to the attention scores of rows of several documents.

    From `document_ids` of shape (batch, seq), of shape (batch, 1, seq, seq): 0 where a
    token looks at itself or an earlier one of its own document, the lowest number that
    `dtype` has elsewhere. Padding is a document, too: it has to look at something.
    """
    same = document_ids[:, :, None] == document_ids[:, None, :]
    return _causal(same, dtype)


def branching_mask(branches: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the like for rows of a trunk, which is branch 0, and what comes after it.

    A token looks at itself and at earlier ones of the trunk and of its own branch, as
    if no other branch were there.
    """
    same = branches[:, :, None] == branches[:, None, :]
    return _causal(same | (branches[:, None, :] == 0), dtype)


def isolation_obstacle(model: Any, longest: int) -> str | None:
    """Return why a model cannot read several texts at once; None: it can.

    It has to heed a mask over pairs of tokens, and positions that start anew. `model`
    is a torch model without the wrapper of an adapter, `longest` the tokens that the
    longest text has.
    """
    config = model.config.get_text_config()
    name = type(model).__name__
    if "position_ids" not in inspect.signature(model.forward).parameters:
        return f"{name} takes no positions, so no document could start anew"
    if getattr(config, "alibi", False):
        return f"{name} tells distances by ALiBi, which goes on over a whole window"
    kinds = getattr(config, "layer_types", None) or ()
    if any(state in kind for kind in kinds for state in STATES):
        return f"{name} has layers that carry a state over a whole window"
    window = _window(config)
    if window is not None and longest > window:
        return (
            f"layers of {name} look back over {window} tokens, which a mask of whole "
            f"documents undoes; the longest row has {longest}"
        )
    if "flash" in (config._attn_implementation or ""):  # noqa: SLF001  # no other way
        return "flash attention takes no mask over pairs of tokens"
    return None


def _causal(seen: Tensor, dtype: torch.dtype) -> Tensor:
    length = seen.shape[-1]
    earlier = torch.ones(length, length, dtype=torch.bool, device=seen.device).tril()
    mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    return mask.masked_fill(~(seen & earlier), torch.finfo(dtype).min)[:, None]


def _window(config: Any) -> int | None:
    """Return the number of tokens that some layers look back over; None: all do all."""
    kinds = getattr(config, "layer_types", None)
    named = {
        "sliding": getattr(config, "sliding_window", None),
        "chunked": getattr(config, "attention_chunk_size", None),
    }
    sizes = [
        size
        for name, size in named.items()
        if size and (not kinds or any(name in kind for kind in kinds))
    ]
    return min(sizes, default=None)
