"""What libraries tell while they work, and how apps listen.

A library calls `tell(event)`. Whoever runs it inside `with listening(draw):` has
`draw(event)` called for each; without a listener nothing happens.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened."""


@dataclass(frozen=True, kw_only=True)
class Notice(Event):
    """A sentence that a user waiting for the work should see."""

    text: str


Listener = Callable[[Event], None]

_listeners: ContextVar[tuple[Listener, ...]] = ContextVar("listeners", default=())


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Have `listener` called with every event told inside the block."""
    token = _listeners.set((*_listeners.get(), listener))
    try:
        yield
    finally:
        _listeners.reset(token)


@contextmanager
def unheard() -> Iterator[None]:
    """Have nobody hear the events told inside the block."""
    token = _listeners.set(())
    try:
        yield
    finally:
        _listeners.reset(token)


def tell(event: Event) -> None:
    """Hand an event to everyone who listens."""
    for listener in _listeners.get():
        listener(event)
