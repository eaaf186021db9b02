"""What an engine has room for, and what it refuses before it begins."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from xturing.core.errors import SettingsError
from xturing.core.names import suggestion
from xturing.models.inference.requests import Decoding, Request

if TYPE_CHECKING:
    from xturing.models.inference.batching import Parts
    from xturing.models.inference.engine import Engine, EngineOptions

LONGEST = 8192
"""Tokens of a sequence, where the architecture sets no limit."""
MEMORY = 8_000_000_000
"""Bytes that a machine is taken to have if it does not tell."""
MOST_CANDIDATES = 64
"""Of contrastive search, whose every token is computed so many times."""
SHARE = 4
"""One part in so many of the memory is for caches."""


def token_budget(parts: "Parts", options: "EngineOptions") -> int:
    """Return how many tokens may be kept of all sequences together."""
    if options.cache_tokens is not None:
        return options.cache_tokens
    needed = (parts.runner.context_length or LONGEST) * options.max_running
    held = _memory() // SHARE // max(parts.bytes_per_token, 1)
    return max(min(needed, held), 1)


def refuse_useless(options: "EngineOptions") -> None:
    """Raise `SettingsError` for options with which nothing would ever be answered."""
    for name, least in (
        *(("max_running", 1), ("max_waiting", 0), ("prefill_tokens", 1)),
        *(("cache_tokens", 2), ("threads", 1)),
    ):
        value = getattr(options, name)
        if value is not None and value < least:
            raise SettingsError(f"{name} is {value}; give at least {least}.")


def refuse_unknown(ids: Sequence[int], vocabulary: int) -> None:
    """Raise `SettingsError` for what is no token: it would harm all that is read."""
    for token in ids:
        if not 0 <= token < vocabulary:
            raise SettingsError(
                f"There is no token {token}; the model's are 0 to {vocabulary - 1}. "
                "Write prompts with the model's own tokenizer."
            )


def refuse_impossible(request: Request, engine: "Engine", budget: int) -> None:
    """Raise `SettingsError` for what an engine cannot do, whatever is free.

    Such as a prompt that leaves no room for an answer, or a name that it has not.
    """
    longest = min(engine.context_length or budget, budget)
    if not request.prompt:
        raise SettingsError("The prompt is empty; give it at least a token.")
    if len(request.prompt) >= longest:
        raise SettingsError(
            f"The prompt has {len(request.prompt)} tokens, and the model reads "
            f"{longest} with its answer. Shorten the prompt."
        )
    if request.adapter is not None and request.adapter not in engine.adapters:
        raise SettingsError(
            f"There is no adapter '{request.adapter}'. "
            + suggestion(request.adapter, engine.adapters)
        )
    _refuse_unable(request.decoding, engine)


def _refuse_unable(decoding: Decoding, engine: "Engine") -> None:
    able = engine.capabilities
    if decoding.json_schema is not None and not able.json_schema:
        raise SettingsError(
            f"The engine '{engine.name}' cannot write by a JSON schema."
        )
    if decoding.penalty_alpha is None:
        return
    if not able.contrastive_search:
        raise SettingsError(
            f"The engine '{engine.name}' has no contrastive search (penalty_alpha is "
            f"{decoding.penalty_alpha:g}). Leave penalty_alpha out, or use the engine "
            "'torch'."
        )
    if decoding.top_k > MOST_CANDIDATES:
        raise SettingsError(
            f"top_k is {decoding.top_k}, and contrastive search computes with each of "
            f"so many candidates; give at most {MOST_CANDIDATES}."
        )
    plain = Decoding()
    others = [
        name
        for name in (
            *("temperature", "top_p", "min_p", "repetition_penalty"),
            *("frequency_penalty", "presence_penalty", "json_schema", "logprobs"),
        )
        if getattr(decoding, name) != getattr(plain, name)
    ]
    if others:
        raise SettingsError(
            f"penalty_alpha is {decoding.penalty_alpha:g}, so tokens are chosen by "
            f"contrastive search, which has no {others[0]}. Leave one of the two out."
        )


def _memory() -> int:
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return MEMORY
