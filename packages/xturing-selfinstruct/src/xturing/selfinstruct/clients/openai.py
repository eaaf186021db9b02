"""OpenAI, Azure OpenAI, and whatever server speaks as they do."""

import os
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Literal
from urllib.parse import urlsplit

from xturing.core.errors import SettingsError
from xturing.core.extras import require
from xturing.selfinstruct.clients.chat import chat_reply, messages_of
from xturing.selfinstruct.clients.service import (
    DEFAULT_TIMEOUT,
    PACKAGE,
    Service,
    given,
)
from xturing.selfinstruct.clients.wire import refuse_no_address
from xturing.selfinstruct.exchange import Reply, Request

OWN_HOST = "api.openai.com"
WITHHELD = {
    "content_filter",
    "content_policy_violation",
    "ResponsibleAIPolicyViolation",
}
"""Codes of refusals by a filter."""


class OpenAI(Service):
    """A model that is asked through OpenAI's API.

    `base_url` is that of another server with this API, which may need no key; if it is
    not given, OPENAI_BASE_URL counts. `api` is "completions" for the older one, which
    continues a text. With `api_version` the server is Azure's: `base_url` is then its
    endpoint, and the model the name of a deployment. `timeout` is in seconds.

    Raises:
        SettingsError: a setting is wrong.
    """

    name = "openai"
    title = "OpenAI"
    variables = ("OPENAI_API_KEY",)
    http_library = "httpx2"

    def __init__(
        self,
        model: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        organization: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        api: Literal["chat", "completions"] = "chat",
        api_version: str | None = None,
    ) -> None:
        super().__init__(model, api_key=api_key, base_url=base_url, timeout=timeout)
        if api not in ("chat", "completions"):
            raise SettingsError(f"api is '{api}', but is 'chat' or 'completions'.")
        self.organization = organization
        self.api = api
        self.api_version = api_version
        if api_version is not None:
            self.variables = ("AZURE_OPENAI_API_KEY", *self.variables)

    def _open(self) -> None:
        if self.base_url is None:
            is_azure = self.api_version is not None
            variable = "AZURE_OPENAI_ENDPOINT" if is_azure else "OPENAI_BASE_URL"
            self.base_url = os.environ.get(variable) or None
            refuse_no_address(self.base_url)
            if is_azure and self.base_url is None:
                raise SettingsError(
                    "api_version is given, so the server is Azure's, but not which: "
                    "pass base_url, or set AZURE_OPENAI_ENDPOINT."
                )
        super()._open()

    def _is_key_needed(self) -> bool:
        return self._is_openais_own

    @property
    def _is_openais_own(self) -> bool:
        host = urlsplit(self.base_url or f"https://{OWN_HOST}").hostname or ""
        # There is one for each region, such as eu.api.openai.com.
        return host == OWN_HOST or host.endswith(f".{OWN_HOST}")

    def _import_sdk(self) -> ModuleType:
        return require("openai", package=PACKAGE, extra=self.name)

    def _make(self, library: Any, key: str, wire: Any) -> Any:
        options = {
            "api_key": key,
            "organization": self.organization,
            "timeout": self.timeout,
            "max_retries": 0,
            "http_client": wire,
        }
        if self.api_version is None:
            return library.AsyncOpenAI(base_url=self.base_url, **options)
        return library.AsyncAzureOpenAI(
            azure_endpoint=self.base_url, api_version=self.api_version, **options
        )

    def _failures(self, library: Any) -> tuple[type[Exception], ...]:
        return (library.OpenAIError,)

    async def _send(self, request: Request) -> object:
        options = given(
            temperature=request.temperature,
            top_p=request.top_p,
            stop=list(request.stop),
        )
        if self.api == "completions":
            return await self._sdk.completions.with_raw_response.create(
                model=self.model,
                prompt="\n\n".join(turn["content"] for turn in messages_of(request)),
                max_tokens=request.max_tokens,
                **options,
            )
        # Reasoning models refuse the older name, and other servers the newer one.
        limit = "max_completion_tokens" if self._is_openais_own else "max_tokens"
        return await self._sdk.chat.completions.with_raw_response.create(
            model=self.model,
            messages=messages_of(request),
            **{limit: request.max_tokens},
            **options,
        )

    def _read(self, told: Any) -> Reply:
        return chat_reply(told)

    def _is_withheld(self, told: Any) -> bool:
        error = told.get("error") if isinstance(told, Mapping) else None
        if not isinstance(error, Mapping):
            return False
        inner = error.get("innererror") or error.get("inner_error")
        codes = [
            part.get("code") for part in (error, inner) if isinstance(part, Mapping)
        ]
        return any(code in WITHHELD for code in codes)
