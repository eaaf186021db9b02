"""The project in a browser: chat, fine-tune, make data, evaluate, quantize, export."""

from typing import TYPE_CHECKING

from xturing.core.lazy import exports

if TYPE_CHECKING:
    from xturing.ui.playground import LaunchSettings, Playground

__all__ = ["LaunchSettings", "Playground"]

__getattr__ = exports(__name__, LaunchSettings="playground", Playground="playground")
