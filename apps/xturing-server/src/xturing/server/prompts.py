"""Prompts of requests as token ids, written in a thread beside the server's own.

What cannot fit is refused before it is cut into tokens.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace
from typing import Any

from xturing.core.errors import ModelError
from xturing.models.template import prompt_ids
from xturing.server.refusals import RefusedError

Ids = tuple[int, ...]
Message = dict[str, Any]
Tool = dict[str, Any]

_A_TOOL: Tool = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Looks a word up.",
        "parameters": {"type": "object", "properties": {"word": {"type": "string"}}},
    },
}


class PromptWriter:
    """Turns conversations and texts into ids, at most `limit` of them.

    One thread does it, as tokenizers are not made to be used by several.
    """

    def __init__(self, tokenizer: Any, limit: int | None) -> None:
        self._tokenizer = tokenizer
        self._limit = limit
        self._longest = max(map(len, tokenizer.get_vocab()))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="prompts")
        self.writes_tools = _writes_tools(tokenizer)

    async def chat(
        self, messages: Sequence[Message], tools: Sequence[Tool] = ()
    ) -> Ids:
        """Return a conversation's ids, ready for the assistant to speak.

        Raises:
            RefusedError: it is too long, or the template refuses it.
        """
        size = sum(len(str(message.get("content"))) for message in messages)
        return await self._written(
            "messages", size, lambda: _chat_ids(self._tokenizer, messages, tools)
        )

    async def text(self, text: str) -> Ids:
        """Return the ids of a text that is to be continued as it stands.

        Raises:
            RefusedError: it is too long, or empty.
        """
        from xturing.models.generation import prompt_tokens

        return await self._written(
            "prompt", len(text), lambda: prompt_tokens(self._tokenizer, text, raw=True)
        )

    def ids(self, ids: Sequence[int]) -> Ids:
        """Return ids that a client has written itself.

        Raises:
            RefusedError: they are too many, or one is no token.
        """
        most = len(self._tokenizer)
        wrong = next((number for number in ids if not 0 <= number < most), None)
        if wrong is not None:
            message = f"prompt: {wrong} is no token; they are 0 to {most - 1}."
            raise RefusedError(400, message, param="prompt", code="invalid_value")
        self._check_length("prompt", len(ids))
        return tuple(ids)

    def shown(self, ids: Sequence[int]) -> str:
        """Return the text of ids that a client has written itself."""
        return self._tokenizer.decode(list(ids))

    async def _written(
        self, param: str, size: int, write: Callable[[], list[int]]
    ) -> Ids:
        if self._limit is not None and size > self._limit * self._longest:
            raise self._too_long(param, f"{size:,} characters")
        loop = asyncio.get_running_loop()
        try:
            ids = await loop.run_in_executor(self._thread, write)
        except ModelError as error:
            raise RefusedError(
                422, str(error), param=param, code="unanswerable_prompt"
            ) from None
        self._check_length(param, len(ids))
        return tuple(ids)

    def _check_length(self, param: str, tokens: int) -> None:
        if self._limit is not None and tokens > self._limit:
            raise self._too_long(param, f"{tokens:,} tokens")

    def _too_long(self, param: str, size: str) -> RefusedError:
        return RefusedError(
            422,
            f"The prompt has {size}, and at most {self._limit:,} tokens are read here. "
            "Shorten it.",
            param=param,
            code="context_length_exceeded",
        )


def _chat_ids(
    tokenizer: Any, messages: Sequence[Message], tools: Sequence[Tool]
) -> list[int]:
    if tools:
        write = partial(tokenizer.apply_chat_template, tools=list(tools))
        tokenizer = SimpleNamespace(apply_chat_template=write)
    try:
        return prompt_ids(tokenizer, messages)
    except (TypeError, ValueError, KeyError) as error:
        # Templates are code, and few of them expect every conversation.
        raise ModelError(
            f"The model's chat template cannot write this conversation: {error}"
        ) from error


def _writes_tools(tokenizer: Any) -> bool:
    messages = [{"role": "user", "content": "What is a zebra?"}]
    try:
        plain = _chat_ids(tokenizer, messages, ())
        return _chat_ids(tokenizer, messages, [_A_TOOL]) != plain
    except ModelError:
        return False
