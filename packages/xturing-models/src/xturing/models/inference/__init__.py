"""Answers from a model by one of several engines: together, as a stream, under load.

An engine takes requests (`requests`) and tells of the tokens that it writes. Most of
them share one way of batching (`batching`) and of choosing tokens (`decoding`), and
differ in what computes the logits: a runner (`runners`).
"""

from typing import TYPE_CHECKING

from xturing.core.lazy import exports

if TYPE_CHECKING:
    from xturing.models.inference.engine import (
        ENGINES,
        Capabilities,
        Engine,
        EngineOptions,
        complete,
        open_engine,
        stream,
    )
    from xturing.models.inference.requests import (
        Completion,
        Decoding,
        Finish,
        Piece,
        Request,
        Token,
    )

__all__ = [
    "ENGINES",
    "Capabilities",
    "Completion",
    "Decoding",
    "Engine",
    "EngineOptions",
    "Finish",
    "Piece",
    "Request",
    "Token",
    "complete",
    "open_engine",
    "stream",
]

__getattr__ = exports(
    __name__,
    ENGINES="engine",
    Capabilities="engine",
    Completion="requests",
    Decoding="requests",
    Engine="engine",
    EngineOptions="engine",
    Finish="requests",
    Piece="requests",
    Request="requests",
    Token="requests",  # noqa: S106  # it is the name of a module
    complete="engine",
    open_engine="engine",
    stream="engine",
)
