"""Activations that are computed anew in the backward pass, to save memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def checkpointed(model: Any) -> Iterator[None]:
    """Have a model keep only the inputs of its layers inside the block."""
    model.activation_checkpointing_enable({"use_reentrant": False})
    try:
        yield
    finally:
        model.activation_checkpointing_disable()
