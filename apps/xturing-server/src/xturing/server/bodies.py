"""Bodies of requests: read to a bound, and JSON as its standard has it.

What comes through is UTF-8, not deep, and without the numbers and characters that no
JSON can carry back; so all that follows can do without these cares.
"""

import asyncio
import json
from collections.abc import Iterable
from typing import Any

from xturing.server.asgi import ASGIApp, Message, Receive, Scope, Send
from xturing.server.refusals import RefusedError

DEEPEST = 64
"""Most levels of brackets."""
LONGEST_NUMBER = 24
"""Most characters of a whole number; the largest that any field takes has 20."""
MOST_DISCARDED = 64_000_000
"""Bytes over the bound that are read all the same: a client that still sends would
never see the reply."""
SECONDS = 60
"""How long a client may take to send a body."""


class BodyBound:
    """Hands on requests whose bodies can be used, and refuses the others."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int) -> None:
        self._app = app
        self._most = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check the body of a POST, and hand it on whole."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            _check_type(scope["headers"])
            body = await self._read(receive)
            if body is None:
                return
            check_json(body)
        except RefusedError as refusal:
            await refusal.response(scope["path"])(scope, receive, send)
            return
        await self._app(scope, _replayed(body, receive), send)

    async def _read(self, receive: Receive) -> bytes | None:
        """Return the body; None: the client has left."""
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(SECONDS):
                while size <= self._most + MOST_DISCARDED:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    chunk = message.get("body", b"")
                    size += len(chunk)
                    if size <= self._most:
                        chunks.append(chunk)
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            raise RefusedError(
                408, f"The body did not come within {SECONDS} seconds.", code="timeout"
            ) from None
        if size > self._most:
            raise RefusedError(
                413,
                f"The body has more than {self._most:,} bytes, which is as much as "
                "this server reads.",
                code="body_too_large",
            )
        return b"".join(chunks)


def check_json(body: bytes) -> None:
    """Check that a body is JSON that can be answered.

    Raises:
        RefusedError: it is not.
    """
    try:
        value = json.loads(
            body.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_short,
        )
    except UnicodeDecodeError as error:
        message = f"The body is not UTF-8 (at byte {error.start})."
        raise RefusedError(400, message, code="invalid_json") from None
    except RecursionError:
        raise _too_deep() from None
    except json.JSONDecodeError as error:
        message = (
            f"The body is not JSON: {error.msg} at line {error.lineno}, column "
            f"{error.colno}."
        )
        raise RefusedError(400, message, code="invalid_json") from None
    _check_depth(value)
    if b"\\u" in body:
        _check_characters(value)


def _check_type(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Refuse what a page of another origin may send without asking first."""
    kinds = [value for name, value in headers if name == b"content-type"]
    kind = kinds[0].partition(b";")[0].strip().lower() if kinds else b""
    if kind != b"application/json":
        raise RefusedError(
            415,
            "Send the body as JSON, with the header Content-Type: application/json.",
            code="unsupported_media_type",
        )


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST):
        nested = [part for part in level if isinstance(part, dict | list)]
        if not nested:
            return
        level = [
            child
            for part in nested
            for child in (part.values() if isinstance(part, dict) else part)
        ]
    raise _too_deep()


def _check_characters(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        code = ord(error.object[error.start])
        raise RefusedError(
            422,
            f"The body has half of a character (\\u{code:04x} without its other "
            "half), which is no text.",
            code="invalid_text",
        ) from None


def _too_deep() -> RefusedError:
    return RefusedError(
        400, f"The body has more than {DEEPEST} levels of brackets.", code="too_deep"
    )


def _refuse_constant(name: str) -> float:
    raise RefusedError(
        400, f"The body has {name}, which is no JSON.", code="invalid_json"
    )


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        message = "The body has a number that is too large."
        raise RefusedError(400, message, code="invalid_json")
    return number


def _short(text: str) -> int:
    if len(text) > LONGEST_NUMBER:
        message = f"The body has a whole number of {len(text):,} digits."
        raise RefusedError(400, message, code="invalid_json")
    return int(text)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that begins with a body that was read already."""
    unread = [body]

    async def replay() -> Message:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        return await receive()

    return replay
