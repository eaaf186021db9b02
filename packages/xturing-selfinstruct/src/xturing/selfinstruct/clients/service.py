"""What the services of providers have in common: a key, an attempt, and its failures.

Knows no provider: each says how its SDK is made, what it is asked, and how its answers
are read.
"""

import asyncio
from abc import ABC, abstractmethod
from types import ModuleType
from typing import Any

from xturing.core.errors import SettingsError
from xturing.core.extras import require
from xturing.selfinstruct.clients import CallError
from xturing.selfinstruct.clients.chat import error_text
from xturing.selfinstruct.clients.keys import Key, find_key
from xturing.selfinstruct.clients.waiting import seconds_to_wait
from xturing.selfinstruct.clients.wire import (
    Answer,
    Heard,
    hearing,
    open_wire,
    refuse_no_address,
    shown,
)
from xturing.selfinstruct.exchange import Reply, Request, Usage

PACKAGE = "xturing-selfinstruct"
DEFAULT_TIMEOUT = 120.0
"""Seconds from sending a request to the end of its answer."""
LONGEST_QUOTE = 300
"""Characters of what a service says."""
UNREADABLE = AttributeError, LookupError, TypeError, ValueError
"""What is raised over an answer that has not the form of one."""
NO_KEY = "none"
"""What servers that need no key are sent, as SDKs insist on one."""


class Service(ABC):
    """A model that a provider serves, asked through the provider's SDK.

    Making one reads no key, imports no SDK and opens nothing: what was answered before
    can be had without.
    """

    name: str
    title: str
    """Of the provider, in messages."""
    variables: tuple[str, ...]
    """Of the environment, that may hold the key; the first is the one to set."""
    http_library: str = "httpx"
    """Whose client the SDK takes."""

    def __init__(
        self,
        model: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        if timeout <= 0:
            raise SettingsError(f"timeout is {timeout:g}, but has to be above 0.")
        refuse_no_address(base_url)
        self.model = model
        self.base_url = base_url
        self.timeout = timeout
        self._api_key = api_key
        self._key: Key | None = None
        self._http: Any = None
        self._failing: tuple[type[Exception], ...] = ()
        self._wire: Any = None
        self._sdk: Any = None

    async def complete(self, request: Request) -> Reply:
        """Return the model's answer, after a single HTTP request.

        Raises:
            CallError: there is no answer.
            SettingsError: there is no key.
            MissingDependencyError: the provider's SDK is not installed.
        """
        if self._sdk is None:
            self._open()
        with hearing() as heard:
            trouble = await self._attempt(request, heard)
        answer = heard.answer(self._http)
        # Raised here and not where it was caught: the errors of SDKs hold headers and
        # the service's own words, and so may hold the key.
        if answer is None:
            raise CallError(trouble)
        if answer.status >= 400:
            return self._refused(answer)
        return self._reply(answer)

    async def close(self) -> None:
        """Close connections; the client can be used again afterwards."""
        wire, self._wire, self._sdk = self._wire, None, None
        if wire is not None:
            await wire.aclose()

    @abstractmethod
    def _import_sdk(self) -> ModuleType:
        """Import the SDK.

        Raises:
            MissingDependencyError: it is not installed.
        """

    @abstractmethod
    def _make(self, library: Any, key: str, wire: Any) -> Any:
        """Return the SDK's client, without retries, on top of an HTTP client."""

    @abstractmethod
    def _failures(self, library: Any) -> tuple[type[Exception], ...]:
        """Return what the SDK raises of its own."""

    @abstractmethod
    async def _send(self, request: Request) -> object:
        """Have the SDK send a request; what it returns does not matter."""

    @abstractmethod
    def _read(self, told: Any) -> Reply:
        """Return the reply in the JSON of an answer."""

    def _is_withheld(self, told: Any) -> bool:
        """Tell whether the JSON of a refusal says that a filter stepped in."""
        return False

    def _is_key_needed(self) -> bool:
        return True

    def _open(self) -> None:
        """Make the SDK's client.

        Raises:
            SettingsError: the key is missing, or is none.
        """
        self._key = find_key(self._api_key, self.variables)
        if self._key is None and self._is_key_needed():
            raise SettingsError(
                f"{self._who} needs a key: set {self.variables[0]}, or pass api_key."
            )
        library = self._import_sdk()
        self._http = require(self.http_library, package=PACKAGE, extra=self.name)
        self._failing = self._failures(library)
        self._wire = open_wire(self._http, self.timeout)
        key = NO_KEY if self._key is None else self._key.text
        self._sdk = self._make(library, key, self._wire)

    async def _attempt(self, request: Request, heard: Heard) -> str:
        """Send a request, and return why there may be no whole answer."""
        late = f"{self._who} did not answer within {self.timeout:g} seconds."
        try:
            # The HTTP client's own limit is for each piece of an answer.
            async with asyncio.timeout(self.timeout):
                await self._send(request)
        except TimeoutError:
            return late
        except (self._http.HTTPError, *self._failing) as error:
            cause = error.__cause__ or error
            if isinstance(cause, self._http.TimeoutException):
                return late
            reason = self._quoted(str(cause)) or type(cause).__name__
            return f"{self._who} gave no whole answer: {reason}"
        except UNREADABLE:
            # The SDK cannot read the answer. Perhaps it can be read here.
            if heard.response is None:
                raise
        return f"{self._who} gave no whole answer."

    def _refused(self, answer: Answer) -> Reply:
        """Return an empty reply if a filter stepped in, and raise otherwise."""
        if answer.status == 400 and self._is_withheld(answer.told):
            return Reply(
                text="",
                finish_reason="content_filter",
                usage=Usage(),
                raw=answer.told,
            )
        raise CallError(
            self._refusal(answer),
            status=answer.status,
            retry_after=seconds_to_wait(answer.headers),
        )

    def _refusal(self, answer: Answer) -> str:
        status = answer.status
        if status in (401, 403):
            if self._key is None:
                return (
                    f"{self._who} wants a key (status {status}): set "
                    f"{self.variables[0]}, or pass api_key."
                )
            # Without the service's words, which repeat parts of the key.
            return (
                f"{self._who} refused the key {self._key.place} (status {status}): "
                "replace it by one that is right."
            )
        if status == 404:
            return (
                f"{self._who} has no model '{self.model}', or {answer.address} is not "
                "its address (status 404)."
            )
        said = self._quoted(error_text(answer.told) or answer.body)
        return f"{self._who} answered with status {status}: {said or 'nothing more'}"

    def _reply(self, answer: Answer) -> Reply:
        """Return what an answer says.

        Raises:
            CallError: it is not JSON, or not that of a reply.
        """
        quoted = self._quoted(answer.body)
        if answer.told is None:
            raise CallError(f"{self._who} answered what is not JSON: {quoted}")
        try:
            return self._read(answer.told)
        except UNREADABLE as error:
            raise CallError(
                f"{self._who} answered what is no reply of its kind "
                f"({type(error).__name__}): {quoted}",
                status=answer.status,
            ) from None

    @property
    def _who(self) -> str:
        if self.base_url is None:
            return self.title
        return f"The service at {shown(self.base_url)}"

    def _quoted(self, text: str) -> str:
        """Return a service's words without the key, in one line that is not long."""
        if self._key is not None:
            text = self._key.hidden_in(text)
        text = " ".join(text.split())
        cut = LONGEST_QUOTE - 1
        return text if len(text) <= LONGEST_QUOTE else f"{text[:cut]}…"


def given(**options: object) -> dict[str, Any]:
    """Return the options that are not None and not empty."""
    return {
        name: value for name, value in options.items() if value not in (None, [], ())
    }
