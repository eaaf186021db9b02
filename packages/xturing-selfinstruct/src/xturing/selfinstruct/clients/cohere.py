"""Cohere's chat."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from xturing.core.extras import require
from xturing.selfinstruct.clients.chat import count, messages_of, text_of
from xturing.selfinstruct.clients.service import (
    PACKAGE,
    Service,
    given,
)
from xturing.selfinstruct.exchange import FinishReason, Reply, Request, Usage

REASONS: Mapping[str, FinishReason] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "ERROR_TOXIC": "content_filter",
}
MOST_TOP_P = 0.99
"""More is refused, though it would mean the same."""


class Cohere(Service):
    """A model of Cohere's; `timeout` is in seconds.

    Raises:
        SettingsError: a setting is wrong.
    """

    name = "cohere"
    title = "Cohere"
    variables = ("COHERE_API_KEY", "CO_API_KEY")

    def _import_sdk(self) -> ModuleType:
        return require("cohere", package=PACKAGE, extra=self.name)

    def _make(self, library: Any, key: str, wire: Any) -> Any:
        return library.AsyncClientV2(
            api_key=key,
            timeout=self.timeout,
            httpx_client=wire,
            **given(base_url=self.base_url),
        )

    def _failures(self, library: Any) -> tuple[type[Exception], ...]:
        core = require("cohere.core", package=PACKAGE, extra=self.name)
        return (core.ApiError,)

    async def _send(self, request: Request) -> object:
        top_p = request.top_p
        return await self._sdk.chat(
            model=self.model,
            messages=messages_of(request),
            max_tokens=request.max_tokens,
            request_options={"max_retries": 0},
            **given(
                temperature=request.temperature,
                p=top_p if top_p is None else min(top_p, MOST_TOP_P),
                stop_sequences=list(request.stop),
            ),
        )

    def _read(self, told: Any) -> Reply:
        counted = told.get("usage") or {}
        # What is billed leaves out the words that Cohere puts around a prompt.
        billed = counted.get("billed_units") or counted.get("tokens") or {}
        return Reply(
            text=text_of((told["message"] or {}).get("content")),
            finish_reason=REASONS.get(told.get("finish_reason"), "other"),
            usage=Usage(
                prompt_tokens=count(billed.get("input_tokens")),
                completion_tokens=count(billed.get("output_tokens")),
            ),
            raw=told,
        )
