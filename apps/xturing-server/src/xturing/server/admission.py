"""Who comes in: clients with the key, as long as the server is not about to stop."""

import hmac
from collections.abc import Iterator
from contextlib import contextmanager

from xturing.server.asgi import ASGIApp, Receive, Scope, Send
from xturing.server.refusals import RefusedError, later

OPEN = ("/health", "/health/ready")
"""Routes that ask for no key, and answer to the end."""
UNCOUNTED = ("/metrics",)
"""Routes that ask for the key, and answer to the end."""


class Gate:
    """Counts the requests that are being answered, and can be shut for new ones."""

    def __init__(self, retry_after_seconds: int) -> None:
        self._retry_after_seconds = retry_after_seconds
        self.is_open = True
        self.inside = 0

    def close(self) -> None:
        """Let nobody in any more; whoever is inside may finish."""
        self.is_open = False

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Count the block as a request.

        Raises:
            RefusedError: the gate is shut.
        """
        if not self.is_open:
            raise self.refusal()
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    def refusal(self) -> RefusedError:
        """Return what is said to those outside."""
        message = "The server is about to stop and takes no new requests."
        return later(503, message, "draining", self._retry_after_seconds)


class Admission:
    """Hands on the requests that may come in, and refuses the others."""

    def __init__(self, app: ASGIApp, *, gate: Gate, api_key: str | None) -> None:
        self._app = app
        self._gate = gate
        self._expected = None if api_key is None else f"Bearer {api_key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ask for the key, then count the request."""
        if scope["type"] != "http" or scope["path"] in OPEN:
            await self._app(scope, receive, send)
            return
        try:
            self._check_key(scope)
            if scope["path"] in UNCOUNTED:
                await self._app(scope, receive, send)
                return
            with self._gate.passing():
                await self._app(scope, receive, send)
        except RefusedError as refusal:
            await refusal.response(scope["path"])(scope, receive, send)

    def _check_key(self, scope: Scope) -> None:
        if self._expected is None:
            return
        said = b"".join(
            value for name, value in scope["headers"] if name == b"authorization"
        )
        if not hmac.compare_digest(said, self._expected):
            raise RefusedError(
                401,
                "The API key is missing or not right. Send it as Authorization: Bearer "
                "KEY.",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
