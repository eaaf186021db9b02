"""What a service answered over HTTP, noted below the provider's SDK.

No two SDKs tell of failures alike, one keeps their headers to itself, and none shows
an answer as it came. So the HTTP client that each SDK is given notes what it hears.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from xturing.core.errors import SettingsError
from xturing.selfinstruct.clients.chat import writable


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A whole answer, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: str
    told: Any
    """What the body's JSON says; None if it is none."""
    address: str


@dataclass
class Heard:
    """What was heard during an attempt."""

    response: Any = None
    """Of httpx; None if there was not even the beginning of one."""

    def answer(self, http: ModuleType) -> Answer | None:
        """Return the answer, if it is whole; `http` is the library of the client."""
        if self.response is None:
            return None
        try:
            body = self.response.content.decode("utf-8", "replace")
        except http.ResponseNotRead:
            return None
        told = _json(body)
        return Answer(
            status=_status(told, self.response.status_code),
            headers=self.response.headers,
            body=body,
            told=told,
            address=shown(str(self.response.request.url)),
        )


_heard: ContextVar[Heard | None] = ContextVar("heard", default=None)


@contextmanager
def hearing() -> Iterator[Heard]:
    """Yield what the clients of `open_wire` hear in this task."""
    heard = Heard()
    token = _heard.set(heard)
    try:
        yield heard
    finally:
        _heard.reset(token)


def open_wire(http: ModuleType, timeout: float) -> Any:
    """Return an asynchronous client of httpx, or of a library like it.

    `timeout` is in seconds, for each piece of an answer.
    """
    return http.AsyncClient(
        timeout=timeout, follow_redirects=True, event_hooks={"response": [_note]}
    )


def shown(address: str) -> str:
    """Return an address as it can be shown: without a password or a query."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def refuse_no_address(address: str | None) -> None:
    """Raise `SettingsError` if what was given as an address is none."""
    if address is not None and not _is_address(address):
        # Not shown, since what is no address may be a key.
        raise SettingsError(
            "base_url is no address: it begins with https:// or http://, and the name "
            "of a server comes after it."
        )


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and has_port


async def _note(response: Any) -> None:
    heard = _heard.get()
    if heard is not None:
        heard.response = response


def _json(body: str) -> Any:
    try:
        told = json.loads(body)
    except ValueError:
        return None
    return json.loads(writable(json.dumps(told, ensure_ascii=False)))


def _status(told: Any, status: int) -> int:
    """Return the status of an answer: some gateways answer 200, and tell it inside."""
    error = told.get("error") if isinstance(told, Mapping) else None
    code = error.get("code") if isinstance(error, Mapping) else None
    if status < 400 and isinstance(code, int) and 400 <= code < 600:
        return code
    return status
