"""Whoever answers requests: one file here a provider.

A client makes one attempt at one request; waiting, retrying and counting are not its
work. Other distributions add clients with the entry point group
`xturing.text_generation`.
"""

from collections.abc import Callable
from typing import Protocol

from xturing.core.errors import RemoteError, SettingsError
from xturing.core.registry import Registry
from xturing.selfinstruct.exchange import Reply, Request

TEMPORARY = frozenset({408, 409, 429})
"""Status codes below 500 after which the same request may succeed."""


class Client(Protocol):
    """A model that can be asked."""

    name: str
    """Of the provider, as users write it: "openai"."""
    model: str

    async def complete(self, request: Request) -> Reply:
        """Return the model's answer, after a single attempt.

        Raises:
            CallError: there is no answer; it says whether another attempt may help.
        """
        ...

    async def close(self) -> None:
        """Close connections; the client can be used again afterwards."""
        ...


class CallError(RemoteError):
    """An attempt at a request failed.

    `status` is that of HTTP, None where there was no whole answer. `retry_after` are
    the seconds that the service asks to wait, if it says so.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after

    @property
    def is_temporary(self) -> bool:
        """Whether another attempt may help."""
        status = self.status
        return status is None or status in TEMPORARY or status >= 500


DOORS = {
    "ai21_j2_grande": "xturing.selfinstruct.clients.doors:J2Grande",
    "cohere_medium": "xturing.selfinstruct.clients.doors:Medium",
    "openai_chat": "xturing.selfinstruct.clients.doors:ChatGPT",
    "openai_davinci": "xturing.selfinstruct.clients.doors:Davinci",
}
"""Names of xTuring 0.1, each for a model of its own."""

CLIENTS: Registry[Callable[..., Client]] = Registry(
    "text generation engine",
    "xturing.text_generation",
    {
        "ai21": "xturing.selfinstruct.clients.ai21:AI21",
        "cohere": "xturing.selfinstruct.clients.cohere:Cohere",
        "local": "xturing.selfinstruct.clients.local:Local",
        "openai": "xturing.selfinstruct.clients.openai:OpenAI",
        "scripted": "xturing.selfinstruct.clients.scripted:Scripted",
        **DOORS,
    },
)
"""Clients by name; each takes a model, if it stands for none, and what is its own."""


def open_client(engine: str, **options: object) -> Client:
    """Return the client written as PROVIDER:MODEL, such as `openai:gpt-4.1-mini`.

    The options that are None are left out. Nothing is sent yet.

    Raises:
        UnknownNameError: there is no such provider.
        SettingsError: the model is missing, or an option is not known to the provider.
    """
    provider, _, model = engine.partition(":")
    make = CLIENTS[provider]
    if bool(model) == (provider in DOORS):
        raise SettingsError(
            f"'{engine}' {'has a model of its own' if model else 'names no model'}. "
            "Write PROVIDER:MODEL, such as openai:gpt-4.1-mini, local:smollm2 or "
            "scripted:replies.jsonl."
        )
    models = (model,) if model else ()
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return make(*models, **given)
    except TypeError as error:
        unknown = [name for name in given if f"'{name}'" in str(error)]
        if not unknown:
            raise
        raise SettingsError(
            f"{provider} takes no {unknown[0]}; leave it out, or use another engine."
        ) from None
