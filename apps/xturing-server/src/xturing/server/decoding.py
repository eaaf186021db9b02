"""How an answer is to be written: the model's own settings, and a request's on top.

Nothing here is ever changed in place; each request has a `Decoding` of its own.
"""

from dataclasses import replace
from typing import Any

from xturing.models.inference.requests import Decoding
from xturing.server.refusals import RefusedError
from xturing.server.schemas.fields import Sampling
from xturing.server.schemas.old import OldParams

OVERRIDES = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "frequency_penalty",
    "presence_penalty",
    "penalty_alpha",
    "seed",
)
LARGEST_SEED = 2**64 - 1


def requested(
    defaults: Decoding, asked: Sampling, max_new_tokens: int | None, **values: Any
) -> Decoding:
    """Return the decoding of a request; `values` are fields of its own.

    Raises:
        SettingsError: a number is out of its range.
    """
    own = {name: getattr(asked, name) for name in OVERRIDES}
    given = {name: value for name, value in own.items() if value is not None}
    if "temperature" not in given and _narrows(given) and defaults.is_greedy:
        # Who says among which tokens to draw wants to draw; OpenAI's default is 1.
        given["temperature"] = 1.0
    if given.get("temperature") and "penalty_alpha" not in given:
        given["penalty_alpha"] = None
    if asked.stop is not None:
        given["stop"] = asked.stops
    if max_new_tokens is not None:
        given["max_new_tokens"] = max_new_tokens
    return replace(defaults, **given, **values)


def requested_before(
    params: OldParams, *, has_contrastive_search: bool, most_new_tokens: int
) -> Decoding:
    """Return the decoding of a request to the old route.

    Its default was contrastive search; where that is not to be had, and was not asked
    for, the likeliest token is taken.
    """
    given = params.model_fields_set
    length = params.max_new_tokens
    if "max_new_tokens" not in given:
        length = min(length, most_new_tokens)
    base = Decoding(max_new_tokens=length)
    if params.do_sample:
        return replace(base, temperature=1.0, top_k=params.top_k, top_p=params.top_p)
    if params.penalty_alpha and (has_contrastive_search or "penalty_alpha" in given):
        return replace(base, penalty_alpha=params.penalty_alpha, top_k=params.top_k)
    return base


def choices_of(decoding: Decoding, count: int) -> list[Decoding]:
    """Return one for each of several answers to a prompt, with a seed of its own."""
    seed = decoding.seed
    if seed is None or count == 1:
        return [decoding] * count
    return [
        replace(decoding, seed=(seed + index) % (LARGEST_SEED + 1))
        for index in range(count)
    ]


def check_length(max_new_tokens: int | None, most: int, param: str) -> None:
    """Raise `RefusedError` if a longer answer is asked for than is written here."""
    if max_new_tokens is not None and max_new_tokens > most:
        raise RefusedError(
            400,
            f"{param} is {max_new_tokens:,}; at most {most:,} tokens are written here.",
            param=param,
            code="invalid_value",
        )


def _narrows(given: dict[str, Any]) -> bool:
    return "penalty_alpha" not in given and (
        given.get("top_p", 1.0) < 1 or given.get("min_p", 0.0) > 0
    )
