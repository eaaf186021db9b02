"""An HTTP server for one model: OpenAI's protocol, on a machine of your own."""

from typing import TYPE_CHECKING

from xturing.core.lazy import exports

if TYPE_CHECKING:
    from xturing.server.app import create_app
    from xturing.server.serving import bind, serve
    from xturing.server.settings import ServerSettings

__all__ = ["ServerSettings", "bind", "create_app", "serve"]

__getattr__ = exports(
    __name__,
    ServerSettings="settings",
    bind="serving",
    create_app="app",
    serve="serving",
)
