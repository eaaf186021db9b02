"""What an application and its server call each other with (ASGI 3, HTTP alone)."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
"""What is known of a connection."""
Message = MutableMapping[str, Any]
"""A part of a request or of a reply."""
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
