"""Switching off what drops or disturbs numbers at random while a model is trained."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

RANDOM = ("drop", "jitter")
"""What the shares that layers drop are called, and the noise of routers."""


@contextmanager
def without_dropout(model: Any) -> Iterator[None]:
    """Have layers drop nothing, in whatever mode the model is.

    Besides dropout layers there are those that keep a share for a function to drop.
    """
    before = [
        (layer, name, value)
        for layer in model.modules()
        for name, value in vars(layer).items()
        if isinstance(value, float) and _is_random(layer, name)
    ]
    try:
        for layer, name, _ in before:
            setattr(layer, name, 0.0)
        yield
    finally:
        for layer, name, value in before:
            setattr(layer, name, value)


def _is_random(layer: Any, name: str) -> bool:
    # A dropout layer calls its share p.
    told = type(layer).__name__ if name == "p" else name
    return any(word in told.lower() for word in RANDOM)
