"""Many requests at once, answered in order by an engine that takes on only some."""

import queue
from collections.abc import Sequence
from functools import partial

from xturing.core.errors import BusyError, XTuringError
from xturing.models.inference.engine import Engine, Event, Handle
from xturing.models.inference.requests import Completion, Piece, Request

PAUSE = 0.05
"""Seconds until an engine that others keep busy is asked again."""


def answers(engine: Engine, requests: Sequence[Request]) -> list[Completion]:
    """Return the answers to some requests, in order."""
    told: queue.SimpleQueue[tuple[int, Event]] = queue.SimpleQueue()
    pieces: list[list[Piece]] = [[] for _ in requests]
    handles: dict[int, Handle] = {}
    following, is_free = 0, True
    try:
        while following < len(requests) or handles:
            if is_free:
                following = _fill(engine, requests, following, handles, told)
            try:
                number, event = told.get(timeout=None if handles else PAUSE)
            except queue.Empty:
                continue
            if isinstance(event, XTuringError):
                raise event
            pieces[number].append(event)
            is_free = event.finish is not None
            if is_free:
                del handles[number]
    finally:
        for handle in handles.values():
            handle.cancel()
    return [
        Completion.of(request.prompt, written)
        for request, written in zip(requests, pieces, strict=True)
    ]


def _fill(
    engine: Engine,
    requests: Sequence[Request],
    following: int,
    handles: dict[int, Handle],
    told: "queue.SimpleQueue[tuple[int, Event]]",
) -> int:
    """Ask for as many more as the engine takes on; return which comes next."""
    while following < len(requests):
        tell = partial(_tell, told, following)
        try:
            handles[following] = engine.submit(requests[following], tell)
        except BusyError:
            break
        following += 1
    return following


def _tell(
    told: "queue.SimpleQueue[tuple[int, Event]]", number: int, event: Event
) -> None:
    told.put((number, event))
