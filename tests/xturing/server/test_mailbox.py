"""How what an engine tells comes to an event loop."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from xturing.models.inference.requests import Piece
from xturing.server.answering import Mailbox, Told


@pytest.fixture
def calls() -> list[Any]:
    """Return the wake-ups that a loop was asked for."""
    return []


@pytest.fixture
def mailbox(calls) -> Mailbox:
    loop: Any = SimpleNamespace(call_soon_threadsafe=calls.append)
    return Mailbox(loop)


@pytest.fixture
def queue() -> asyncio.Queue[Told]:
    return asyncio.Queue()


def test_one_wake_up_brings_all_that_was_told_in_one_go_in_order(mailbox, queue, calls):
    for number in range(16):
        mailbox.put(queue, (number, Piece("")))
    for deliver in calls:
        deliver()
    assert len(calls) == 1
    assert [queue.get_nowait()[0] for _ in range(queue.qsize())] == list(range(16))


def test_what_is_told_after_a_delivery_is_delivered_too(mailbox, queue, calls):
    for number in range(2):
        mailbox.put(queue, (number, Piece("")))
        calls.pop()()
    assert queue.qsize() == 2


def test_what_is_told_to_a_closed_loop_harms_nobody(queue):
    loop = asyncio.new_event_loop()
    loop.close()
    Mailbox(loop).put(queue, (0, Piece("late")))
    assert queue.empty()
