"""AI21's chat."""

import logging
from types import ModuleType
from typing import Any

from xturing.core.extras import require
from xturing.selfinstruct.clients.chat import chat_reply, messages_of
from xturing.selfinstruct.clients.service import (
    PACKAGE,
    Service,
    given,
)
from xturing.selfinstruct.exchange import Reply, Request

LOGGERS = ("ai21", "httpx")
"""That the SDK sets up when it is imported."""


class AI21(Service):
    """A model of AI21's; `timeout` is in seconds.

    Raises:
        SettingsError: a setting is wrong.
    """

    name = "ai21"
    title = "AI21"
    variables = ("AI21_API_KEY",)

    def _import_sdk(self) -> ModuleType:
        """Import the SDK without the handlers and levels that it gives to loggers."""
        loggers = [logging.getLogger(name) for name in LOGGERS]
        before = [(logger, logger.level, *logger.handlers) for logger in loggers]
        sdk = require("ai21", package=PACKAGE, extra=self.name)
        for logger, level, *handlers in before:
            logger.setLevel(level)
            for handler in [each for each in logger.handlers if each not in handlers]:
                logger.removeHandler(handler)
        # It logs failures, which Python prints where nobody has set up logging.
        if not loggers[0].handlers:
            loggers[0].addHandler(logging.NullHandler())
        return sdk

    def _make(self, library: Any, key: str, wire: Any) -> Any:
        _let_send_bytes(wire)
        # One attempt in all. In place of none, AI21_NUM_RETRIES would count.
        return library.AsyncAI21Client(
            api_key=key,
            api_host=self.base_url,
            timeout_sec=self.timeout,
            num_retries=1,
            http_client=wire,
        )

    def _failures(self, library: Any) -> tuple[type[Exception], ...]:
        errors = library.errors
        return (errors.AI21APIError, errors.AI21Error)

    async def _send(self, request: Request) -> object:
        models = require("ai21.models.chat", package=PACKAGE, extra=self.name)
        return await self._sdk.chat.completions.create(
            model=self.model,
            messages=[
                models.ChatMessage(**message) for message in messages_of(request)
            ],
            max_tokens=request.max_tokens,
            **given(
                temperature=request.temperature,
                top_p=request.top_p,
                stop=list(request.stop),
            ),
        )

    def _read(self, told: Any) -> Reply:
        return chat_reply(told)


def _let_send_bytes(wire: Any) -> None:
    """Take bytes as a body from the SDK, which calls them a form; httpx warns of it."""
    build = wire.build_request

    def build_request(*, data: bytes, **options: Any) -> Any:
        return build(content=data, **options)

    wire.build_request = build_request
