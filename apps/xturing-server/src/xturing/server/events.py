"""Answers as server-sent events, in OpenAI's way: chunks of JSON, then [DONE]."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from fastapi.responses import StreamingResponse

from xturing.core.errors import XTuringError
from xturing.server.asgi import Receive, Scope, Send
from xturing.server.envelope import log_failure
from xturing.server.refusals import refusal_of

Chunk = Mapping[str, Any]


class EventStream(StreamingResponse):
    """A reply that sends chunks as they come, and stops their source when it ends.

    The status is sent by then; so an error later on is a chunk, too.
    """

    def __init__(
        self,
        chunks: AsyncIterator[Chunk],
        stop: Callable[[], None],
        retry_after_seconds: int,
    ) -> None:
        super().__init__(
            _events(chunks, retry_after_seconds),
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


async def _events(
    chunks: AsyncIterator[Chunk], retry_after_seconds: int
) -> AsyncIterator[bytes]:
    try:
        async for chunk in chunks:
            yield _event(chunk)
    except XTuringError as error:
        refusal = refusal_of(error, retry_after_seconds)
        if refusal.status == 500:
            log_failure(error)
        yield _event({"error": refusal.error})
    yield b"data: [DONE]\n\n"


def _event(chunk: Chunk) -> bytes:
    text = json.dumps(chunk, ensure_ascii=False, separators=(",", ":"))
    return f"data: {text}\n\n".encode()
