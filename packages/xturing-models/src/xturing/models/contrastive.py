"""Contrastive search: the likeliest token that does not repeat what was said.

Su et al. 2022, "A Contrastive Framework for Neural Text Generation", arXiv 2202.06417,
equation 5. Token ids in, token ids out.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from xturing.core.errors import SettingsError


def contrastive_search(
    model: Any,
    ids: Tensor,
    mask: Tensor,
    *,
    candidates: int,
    penalty_alpha: float,
    max_new_tokens: int,
    stop_ids: Sequence[int],
    tap: Callable[[Tensor, object], Tensor] | None = None,
) -> Tensor:
    """Return the ids written after prompts that are padded on the left, (batch, new).

    `tap` is called with all ids after each token and says which lines shall stop. The
    other arguments are those of `contrastive_tokens`.

    Raises:
        SettingsError: the model does not cache keys and values.
    """
    stops = torch.tensor(list(stop_ids), device=ids.device)
    start = ids.shape[1]
    done = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
    steps = contrastive_tokens(
        model, ids, mask, candidates=candidates, penalty_alpha=penalty_alpha
    )
    for tokens in islice(steps, max_new_tokens):
        ids = torch.cat([ids, tokens[:, None]], 1)
        done |= torch.isin(tokens, stops)
        if tap is not None:
            done |= tap(ids, None)
        if done.all():
            break
    return ids[:, start:]


def contrastive_tokens(
    model: Any, ids: Tensor, mask: Tensor, *, candidates: int, penalty_alpha: float
) -> Iterator[Tensor]:
    """Yield the tokens that are written next, of shape (batch), without an end.

    Each token maximises (1 - alpha) * p(token) - alpha * (its hidden state's largest
    cosine similarity to those before it), among the `candidates` likeliest ones.

    Raises:
        SettingsError: the model does not cache keys and values, so it cannot go on with
            one candidate of several.
    """
    output = _forward(model, ids, mask, None)
    if getattr(output, "past_key_values", None) is None:
        raise SettingsError(
            "penalty_alpha is set, but contrastive search needs the keys and values of "
            f"what was read, and {model.config.model_type} keeps none. Set "
            "penalty_alpha to null."
        )
    past = output.hidden_states[-1]
    scores = output.logits[:, -1]
    lines = torch.arange(len(ids), device=ids.device)
    while True:
        probabilities, tokens = scores.float().softmax(-1).topk(candidates)
        # All candidates go through the model at once, each as a line of its own.
        output.past_key_values.batch_repeat_interleave(candidates)
        wide = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
        output = _forward(
            model,
            tokens.reshape(-1, 1),
            wide.repeat_interleave(candidates, 0),
            output.past_key_values,
        )
        hidden = output.hidden_states[-1].view(*tokens.shape, -1)
        penalty = degeneration_penalty(hidden, past, mask)
        chosen = ((1 - penalty_alpha) * probabilities - penalty_alpha * penalty).argmax(
            -1
        )
        output.past_key_values.batch_select_indices(lines * candidates + chosen)
        scores = output.logits[:, -1].view(*tokens.shape, -1)[lines, chosen]
        past = torch.cat([past, hidden[lines, chosen, None]], 1)
        mask = wide
        yield tokens[lines, chosen]


def degeneration_penalty(hidden: Tensor, past: Tensor, mask: Tensor) -> Tensor:
    """Return the largest cosine similarity of each candidate to the tokens before it.

    Shapes: hidden (batch, candidates, features), past (batch, seq, features), mask
    (batch, seq); the result is (batch, candidates).
    """
    hidden = torch.nn.functional.normalize(hidden.float(), dim=-1)
    past = torch.nn.functional.normalize(past.float(), dim=-1)
    similarity = hidden @ past.transpose(1, 2)
    return similarity.masked_fill(mask[:, None] == 0, -1.0).amax(-1)


def _forward(model: Any, ids: Tensor, mask: Tensor, cache: Any) -> Any:
    positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
    return model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        output_hidden_states=True,
    )
