"""Log-probabilities of tokens, and numbers of tokens, as OpenAI's clients read them."""

from collections.abc import Sequence
from typing import Any

from xturing.models.inference.requests import Completion, Token
from xturing.server.schemas.replies import (
    Alternative,
    ChatLogprobs,
    PromptDetails,
    TextLogprobs,
    TokenLogprob,
    Usage,
)

LEAST = -9999.0
"""Stands for the logarithm of 0, which no JSON can carry."""
_BROKEN = "\ufffd"


def chat_logprobs(tokenizer: Any, tokens: Sequence[Token]) -> ChatLogprobs:
    """Return the tokens of an answer to a conversation."""

    def told(id: int, logprob: float | None) -> dict[str, Any]:  # noqa: A002  # as in Token
        text = tokenizer.decode([id])
        shape = None if _BROKEN in text else list(text.encode())
        return {"token": text, "logprob": _bounded(logprob), "bytes": shape}

    content = [
        TokenLogprob(
            **told(token.id, token.logprob),
            top_logprobs=[Alternative(**told(*pair)) for pair in token.alternatives],
        )
        for token in tokens
    ]
    return ChatLogprobs(content=content, refusal=None)


def text_logprobs(
    tokenizer: Any, tokens: Sequence[Token], offset: int = 0, *, of_prompt: bool = False
) -> TextLogprobs:
    """Return the tokens of a text that begins `offset` characters into the whole.

    The first token of a prompt has no probability, as nothing stands before it.
    """
    written = [tokenizer.decode([token.id]) for token in tokens]
    offsets = []
    for text in written:
        offsets.append(offset)
        offset += len(text)
    skipped = 1 if of_prompt else 0
    numbers = [_bounded(token.logprob) for token in tokens[skipped:]]
    likeliest = [
        {tokenizer.decode([id_]): _bounded(value) for id_, value in token.alternatives}
        for token in tokens[skipped:]
    ]
    return TextLogprobs(
        tokens=written,
        token_logprobs=[*[None] * skipped, *numbers],
        top_logprobs=[*[None] * skipped, *likeliest],
        text_offset=offsets,
    )


def joined(first: TextLogprobs, second: TextLogprobs) -> TextLogprobs:
    """Return the tokens of two texts, one after the other."""
    return TextLogprobs(
        tokens=[*first.tokens, *second.tokens],
        token_logprobs=[*first.token_logprobs, *second.token_logprobs],
        top_logprobs=[*(first.top_logprobs or ()), *(second.top_logprobs or ())],
        text_offset=[*first.text_offset, *second.text_offset],
    )


def usage(prompt_tokens: int, answer_tokens: int, cached_tokens: int) -> Usage:
    """Return how many tokens there were."""
    return Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=answer_tokens,
        total_tokens=prompt_tokens + answer_tokens,
        prompt_tokens_details=PromptDetails(cached_tokens=cached_tokens),
    )


def usage_of(completions: Sequence[Completion], choices: int) -> Usage:
    """Return how many tokens answers took; a prompt counts once, whatever `choices`."""
    prompts = completions[::choices]
    return usage(
        sum(completion.prompt_tokens for completion in prompts),
        sum(len(completion.tokens) for completion in completions),
        sum(completion.cached_tokens for completion in prompts),
    )


def _bounded(logprob: float | None) -> float:
    return LEAST if logprob is None else max(logprob, LEAST)
