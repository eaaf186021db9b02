"""What every request gets: a number, a place in the metrics, and always a reply."""

import logging
from contextvars import ContextVar
from uuid import uuid4

from xturing.server.asgi import ASGIApp, Message, Receive, Scope, Send
from xturing.server.metrics import Metrics
from xturing.server.refusals import unexpected

logger = logging.getLogger(__name__)

_number: ContextVar[str] = ContextVar("number", default="outside of any request")


def log_failure(error: Exception) -> None:
    """Note why a request failed, which its client is not told."""
    logger.error("request %s failed", _number.get(), exc_info=error)


class Envelope:
    """Numbers requests, counts them, and keeps our mistakes out of replies."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with what is inside, or else with status 500."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        number = uuid4().hex
        _number.set(number)
        statuses: list[int] = []

        async def numbered(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
                header = (b"x-request-id", number.encode())
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        try:
            await self._app(scope, receive, numbered)
        except Exception as error:
            log_failure(error)
            if statuses:
                # The client has to see that what it got is not all.
                raise
            await unexpected().response(scope["path"])(scope, receive, numbered)
        finally:
            self._metrics.count_request(_route(scope), statuses[0] if statuses else 499)


def _route(scope: Scope) -> str:
    """Return the route's pattern: any path would be a label without end."""
    return getattr(scope.get("route"), "path", "other")
