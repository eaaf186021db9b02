"""Answers as server-sent events, in OpenAI's way: chunks of JSON, then [DONE].

A chunk is written for every token, and most differ in a text alone; the rest of those
is written once for an answer.
"""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from fastapi.responses import StreamingResponse

from xturing.core.errors import XTuringError
from xturing.server.asgi import Receive, Scope, Send
from xturing.server.envelope import log_failure
from xturing.server.refusals import refusal_of

Chunk = Mapping[str, Any]

GAP = "\0"
"""Stands for the text that is still to come in a chunk."""
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def event(chunk: Chunk) -> bytes:
    """Return a chunk as an event."""
    return f"data: {_encode(chunk)}\n\n".encode()


def chunks(head: Chunk, *, tells_usage: bool) -> Callable[..., Chunk]:
    """Return what makes the chunks of one reply, each from its choices."""
    # A null where there is no usage yet is what OpenAI sends to those who ask for it.
    none_yet = {"usage": None} if tells_usage else {}
    return lambda *choices: {**head, "choices": choices, **none_yet}


class TextEvent:
    """A chunk as an event, all but the text that is `GAP` in it."""

    def __init__(self, chunk: Chunk) -> None:
        self._before, _, self._after = event(chunk).partition(_encode(GAP).encode())

    def of(self, text: str) -> bytes:
        """Return the event with a text."""
        return b"%b%b%b" % (self._before, _encode(text).encode(), self._after)


class EventStream(StreamingResponse):
    """A reply that sends events as they come, and stops their source when it ends.

    The status is sent by then; so an error later on is an event, too.
    """

    def __init__(
        self,
        events: AsyncIterator[bytes],
        stop: Callable[[], None],
        retry_after_seconds: int,
    ) -> None:
        super().__init__(
            _to_the_end(events, retry_after_seconds),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
        )
        self._stop = stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until all is said, or the client leaves."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._stop()


async def _to_the_end(
    events: AsyncIterator[bytes], retry_after_seconds: int
) -> AsyncIterator[bytes]:
    try:
        async for each in events:
            yield each
    except XTuringError as error:
        refusal = refusal_of(error, retry_after_seconds)
        if refusal.status == 500:
            log_failure(error)
        yield event({"error": refusal.error})
    yield b"data: [DONE]\n\n"
