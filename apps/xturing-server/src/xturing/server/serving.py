"""Running the application, from the first request to the last.

Told to stop (SIGTERM, or Ctrl-C), it takes no new requests, finishes those it has, and
goes. Told a second time, it goes at once.
"""

import signal
import socket
import time
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from xturing.core.errors import SettingsError
from xturing.models.inference.engine import Engine
from xturing.server.admission import Gate
from xturing.server.app import create_app
from xturing.server.service import Configured
from xturing.server.settings import ServerSettings

MARGIN_SECONDS = 5
"""How long connections may stay open after the last request has to be over."""


class DrainingServer(uvicorn.Server):
    """A server that finishes what it has before it stops."""

    def __init__(
        self,
        app: FastAPI,
        settings: ServerSettings,
        ready: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                # Its log would have what clients send, and ours has the errors.
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                ws="none",
                timeout_graceful_shutdown=MARGIN_SECONDS,
            )
        )
        self._gate: Gate = app.state.service.gate
        self._most_seconds = settings.request_seconds + MARGIN_SECONDS
        self._ready = ready
        self._stop_at = float("inf")

    def drain(self) -> None:
        """Stop as soon as what was taken on is answered; from any thread."""
        self._stop_at = time.monotonic() + self._most_seconds
        self._gate.close()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and say so."""
        await super().startup(sockets)
        if self._ready is not None:
            self._ready()

    async def on_tick(self, counter: int) -> bool:
        """Return whether it is time to stop."""
        is_drained = not self._gate.is_open and self._gate.inside == 0
        if is_drained or time.monotonic() > self._stop_at:
            self.should_exit = True
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain at the first signal, and go at the second."""
        if self._gate.is_open and sig in (signal.SIGTERM, signal.SIGINT):
            self.drain()
        else:
            self.should_exit = self.force_exit = True


def bind(settings: ServerSettings) -> socket.socket:
    """Return a socket at the server's address, which nobody else can have then.

    Raises:
        SettingsError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    try:
        # The port of a server that has just stopped can be had again at once.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"Nothing can listen at {settings.host}, port {settings.port}: "
            f"{error.strerror or error}. Choose another --port or --host, or stop what "
            "is there."
        ) from error
    return listener


def address(listener: socket.socket) -> str:
    """Return the URL at which a socket listens."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(
    engine: Engine,
    settings: ServerSettings,
    *,
    model_name: str,
    model: Configured,
    listener: socket.socket | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Answer requests until told to stop, and close the engine.

    `listener` is what `bind` returns, for those who call it before they load a model.
    `ready` is told the address as soon as there are answers.

    Raises:
        SettingsError: the address cannot be had.
    """
    try:
        listening = listener or bind(settings)
        app = create_app(engine, settings, model_name=model_name, model=model)
        url = address(listening)
        tell = None if ready is None else lambda: ready(url)
        DrainingServer(app, settings, tell).run(sockets=[listening])
    finally:
        engine.close()
